/*
 * The configuration as text: what is in force, a sample file, and the reference for the manual. All of it walks the
 * tables that are read from.
 */
#include "base/mdoc.h"
#include "base/terminal.h"
#include "daemon/config.h"
#include "daemon/routes.h"

#include <ctype.h>
#include <string.h>

enum { LINE_MAX = 100, NAME_MAX = 128 };

static void print_indent(FILE *out, int depth)
{
    fprintf(out, "%*s", 2 * depth, "");
}

/* What every reader of YAML, of whatever version, takes for a text. */
static bool is_plain_text(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-=";
    static const char *const values[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcasecmp(text, values[i]) == 0)
            return false;
    return *text && strchr(letters, *text) && strspn(text, plain) == strlen(text);
}

static void print_quoted(FILE *out, const char *text)
{
    buf quoted;
    buf_init(&quoted, 0);
    terminal_append_quoted(&quoted, text, strlen(text));
    fputs(quoted.data ? quoted.data : "", out);
    buf_clear(&quoted);
}

/* A value so that YAML takes it as this text. */
static void print_scalar(FILE *out, const char *text)
{
    if (is_plain_text(text))
        fputs(text, out);
    else
        print_quoted(out, text);
}

/* A number, or what is like one: 30s. Other readers take it for what we do. */
static void print_number(FILE *out, const char *text)
{
    bool is_number =
        isdigit((unsigned char)*text) && strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzBiKMGT") == strlen(text);
    if (is_number)
        fputs(text, out);
    else
        print_scalar(out, text);
}

/* The same, where "${" would be the beginning of a variable when it is read again. */
static void print_text(FILE *out, const char *text)
{
    buf escaped;
    buf_init(&escaped, 0);
    for (const char *at = text; *at; at++)
        buf_append_format(&escaped, at[0] == '$' && at[1] == '{' ? "$%c" : "%c", *at);
    print_scalar(out, escaped.data ? escaped.data : "");
    buf_clear(&escaped);
}

/* ---- values that stand elsewhere ---- */

/* What is written beside the references is no secret: nothing, or the scheme of an Authorization. */
static bool has_no_secret(const setting *row, const char *written)
{
    static const char *const schemes[] = {"", "Bearer ", "Basic ", "Token "};
    buf rest, shown;
    buf_init(&rest, 0);
    buf_init(&shown, 0);
    setting_refs_strip(written, &rest);
    const char *text = rest.data ? rest.data : "";
    bool is_known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        is_known |= strcmp(text, schemes[i]) == 0;
    if (!is_known && row->has_password && !row->is_secret) { /* "redis://u:***@h" of "redis://u:@h" hides nothing */
        setting_append_masked(text, &shown);
        is_known = shown.length == rest.length + (strstr(shown.data ? shown.data : "", "***") ? 3 : 0);
    }
    buf_clear(&rest);
    buf_clear(&shown);
    return is_known || !(row->is_secret || row->hides_values || row->has_password);
}

/* False: the value stands there itself. */
static bool print_ref(FILE *out, const option_set *source, const setting *row, const void *value)
{
    const setting_ref *ref = option_set_ref(source, value);
    if (!ref)
        return false;
    if (ref->is_file) {
        fputs("{file: ", out);
        print_text(out, ref->written);
        fputc('}', out);
    } else {
        print_scalar(out, has_no_secret(row, ref->written) ? ref->written : "***");
    }
    return true;
}

/* One of a list or of pairs. */
static void print_item(FILE *out, const option_set *source, const setting *row, const char *text)
{
    if (print_ref(out, source, row, text))
        return;
    if (row->hides_values)
        print_scalar(out, "***");
    else if (row->has_numbers)
        print_number(out, text);
    else
        print_text(out, text);
}

static void print_list(FILE *out, const option_set *source, const setting *row, const setting_list *list)
{
    fputc('[', out);
    for (size_t i = 0; i < list->count; i++) {
        fputs(i ? ", " : "", out);
        print_item(out, source, row, list->items[i]);
    }
    fputc(']', out);
}

static void print_pairs(FILE *out, const option_set *source, const setting *row, const setting_pairs *pairs)
{
    fputc('{', out);
    for (size_t i = 0; i < pairs->count; i++) {
        fputs(i ? ", " : "", out);
        print_scalar(out, pairs->items[i].name);
        fputs(": ", out);
        print_item(out, source, row, pairs->items[i].value);
    }
    fputc('}', out);
}

static void print_value(FILE *out, const option_set *source, const setting *row, const void *target)
{
    const void *place = (const char *)target + row->offset;
    bool is_text = row->kind == SETTING_TEXT;
    if (print_ref(out, source, row, is_text ? *(const char *const *)place : place))
        return;
    if (row->kind == SETTING_LIST) {
        print_list(out, source, row, place);
        return;
    }
    if (row->kind == SETTING_PAIRS) {
        print_pairs(out, source, row, place);
        return;
    }
    buf text;
    buf_init(&text, 0);
    setting_append(row, target, &text);
    const char *shown = text.data ? text.data : "";
    if (row->kind == SETTING_SWITCH)
        fputs(shown, out);
    else if (!is_text)
        print_number(out, shown);
    else if (row->is_literal)
        print_scalar(out, shown);
    else
        print_text(out, shown);
    buf_clear(&text);
}

/* Nobody has said anything, and there is no default. */
static bool config_text_is_empty(const setting *row, const void *target)
{
    bool is_number = row->kind == SETTING_NUMBER || row->kind == SETTING_DURATION || row->kind == SETTING_SIZE;
    if (is_number && !row->preset && *(const int64_t *)((const char *)target + row->offset) == 0)
        return true;
    buf text;
    buf_init(&text, 0);
    setting_append(row, target, &text);
    bool is_empty = !text.length;
    buf_clear(&text);
    return is_empty;
}

/* ---- what is in force ---- */

static void print_table(FILE *out, const option_set *source, const setting *table, const void *target, int depth);

/* A group has its line only if there is something in it. */
static bool has_values(const setting *table, const void *target)
{
    for (; table->name; table++)
        if (table->kind == SETTING_GROUP ? has_values(table->group, (const char *)target + table->offset)
                                         : !config_text_is_empty(table, target))
            return true;
    return false;
}

/* A name of a file, mostly. Ends the line. */
static void print_origin(FILE *out, const char *origin)
{
    (void)terminal_line(out, "  # ", "%s", origin);
}

static void print_row(FILE *out, const option_set *source, const setting *row, const void *target, int depth)
{
    const void *place = (const char *)target + row->offset;
    if (row->kind == SETTING_GROUP ? !has_values(row->group, place) : config_text_is_empty(row, target))
        return;
    print_indent(out, depth);
    fprintf(out, "%s:", row->name);
    if (row->kind == SETTING_GROUP) {
        fputc('\n', out);
        print_table(out, source, row->group, place, depth + 1);
        return;
    }
    fputc(' ', out);
    print_value(out, source, row, target);
    if (option_set_knows(source, place)) /* what is in a route came with that */
        print_origin(out, option_set_origin(source, place));
    else
        fputc('\n', out);
}

static void print_table(FILE *out, const option_set *source, const setting *table, const void *target, int depth)
{
    for (; table->name; table++)
        print_row(out, source, table, target, depth);
}

static void print_routes(FILE *out, const config *c)
{
    if (!c->routes.count)
        return;
    fputs("routes:", out);
    print_origin(out, option_set_origin(c->source, &c->routes));
    for (size_t i = 0; i < c->routes.count; i++) {
        const route *r = &c->routes.items[i];
        fputs("  - type: ", out);
        print_scalar(out, r->type);
        fprintf(out, "\n    %s:\n", r->kind->name);
        print_table(out, c->source, r->kind->table, r->options, 3);
        if (r->has_retry) {
            fputs("    retry:\n", out);
            print_table(out, c->source, route_retry_table, &r->retry, 3);
        }
        if (r->has_limit) {
            fputs("    limit:\n", out);
            print_table(out, c->source, route_limit_table, &r->limit, 3);
        }
        if (has_values(route_defaults_table(), &r->defaults)) {
            fputs("    defaults:\n", out);
            print_table(out, c->source, route_defaults_table(), &r->defaults, 3);
        }
    }
}

static void print_workers(FILE *out, const config *c)
{
    if (!c->workers.count)
        return;
    fputs("workers:", out);
    print_origin(out, option_set_origin(c->source, &c->workers));
    for (size_t i = 0; i < c->workers.count; i++) {
        fputs("  ", out);
        print_scalar(out, c->workers.items[i].name);
        fputs(":\n", out);
        print_table(out, c->source, worker_pool_table, &c->workers.items[i], 2);
    }
}

void config_print(const config *c, FILE *out)
{
    print_table(out, c->source, config_table, c, 0);
    print_workers(out, c);
    print_routes(out, c);
}

/* ---- the sample file: with its first '#' taken off each line, it is a valid file ---- */

/* Without the backquotes of literals, which are for the manual. */
static void print_help(FILE *out, const char *help, int depth)
{
    size_t column = 0;
    for (const char *word = help; word && *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        if (column && column + 1 + length > LINE_MAX - (size_t)depth) {
            fputc('\n', out);
            column = 0;
        }
        if (!column) {
            fputc('#', out);
            print_indent(out, depth);
            column = (size_t)fprintf(out, "# ");
        } else {
            fputc(' ', out);
            column++;
        }
        for (size_t i = 0; i < length; i++)
            if (word[i] != '`')
                fputc(word[i], out);
        column += length;
        word += length;
    }
    if (column)
        fputc('\n', out);
}

static void print_sample_table(FILE *out, const setting *table, int depth);

static void print_sample_row(FILE *out, const setting *row, int depth)
{
    buf form;
    print_help(out, row->help, depth);
    fputc('#', out);
    print_indent(out, depth);
    if (row->kind == SETTING_GROUP) {
        fprintf(out, "%s:\n", row->name);
        print_sample_table(out, row->group, depth + 1);
        return;
    }
    buf_init(&form, 0);
    setting_append_form(row, &form);
    if (row->example)
        fprintf(out, "%s: %s\n", row->name, row->example);
    else if (row->kind == SETTING_LIST && row->preset)
        fprintf(out, "%s: [%s]\n", row->name, row->preset);
    else if (row->preset) {
        fprintf(out, "%s: ", row->name);
        if (row->kind == SETTING_TEXT)
            print_scalar(out, row->preset);
        else
            fputs(row->preset, out); /* as one would write it */
        fputc('\n', out);
    } else
        fprintf(out, "#%s: %s\n", row->name, form.data);
    buf_clear(&form);
    if (depth == 0)
        fputc('\n', out);
}

static void print_sample_table(FILE *out, const setting *table, int depth)
{
    for (; table->name; table++)
        if (table->kind != SETTING_OTHER)
            print_sample_row(out, table, depth);
}

static void print_sample_route(FILE *out, const handler_kind *kind, bool is_first)
{
    print_help(out, kind->help, 1);
    fprintf(out, "#  - type: \"%s:\"\n#    %s:\n", kind->name, kind->name);
    print_sample_table(out, kind->table, 3);
    if (!is_first)
        return;
    fputs("#    retry:\n", out);
    print_sample_table(out, route_retry_table, 3);
    fputs("#    limit:\n", out);
    print_sample_table(out, route_limit_table, 3);
    fputs("#    defaults:\n", out);
    print_sample_table(out, route_defaults_table(), 3);
}

void config_print_sample(FILE *out)
{
    fputs("## asynqd.conf(5): every option, with its default or an example.\n\n", out);
    print_sample_table(out, config_table, 0);
    print_help(out, setting_find(config_table, "workers")->help, 0);
    fputs("#workers:\n#  python:\n", out);
    print_sample_table(out, worker_pool_table, 2);
    fputc('\n', out);
    print_help(out, setting_find(config_table, "routes")->help, 0);
    fputs("#routes:\n", out);
    for (size_t i = 0; handler_kinds[i]; i++)
        print_sample_route(out, handler_kinds[i], i == 0);
}

/* ---- the manual ---- */

static void print_manual_row(FILE *out, const setting *row, const char *path)
{
    buf form;
    buf_init(&form, 0);
    setting_append_form(row, &form);
    fprintf(out, ".It Cm %s : Ar \"%s\"\n", path, form.data);
    buf_clear(&form);
    if (row->help)
        mdoc_print(out, row->help);
    if (row->is_needed)
        fputs("Required.\n", out);
    if (row->preset)
        fprintf(out, "Default:\n.Ql %s .\n", *row->preset ? row->preset : "\\&");
    if (row->variables) {
        fputs("Also from the environment:\n", out);
        for (const char *at = row->variables; *at; at += strcspn(at, " "), at += *at == ' ')
            fprintf(out, ".Ev %.*s%s\n", (int)strcspn(at, " "), at, at[strcspn(at, " ")] ? " ," : " .");
    }
    if (row->is_reloaded)
        fputs("Re-read at\n.Dv HUP .\n", out);
    if (row->is_secret)
        fprintf(out, "A file that has it can be given instead:\n.Cm %s_file .\n", path);
}

static void print_each(const setting *row, const char *path, void *target, void *arg)
{
    (void)target;
    print_manual_row(arg, row, path);
}

static void print_manual_table(FILE *out, const setting *table)
{
    fputs(".Bl -tag -width Ds\n", out);
    setting_walk(table, NULL, print_each, out);
    fputs(".El\n", out);
}

void config_print_manual(FILE *out)
{
    print_manual_table(out, config_table);
    fputs(".Sh WORKERS\nEach name is that of a pool with these keys:\n", out);
    print_manual_table(out, worker_pool_table);
    fputs(".Sh ROUTES\nEach route has\n.Cm type ,\none handler, and optionally the others of these:\n", out);
    print_manual_table(out, route_table);
    fputs(".Ss Retries\nThe keys of\n.Cm retry :\n", out);
    print_manual_table(out, route_retry_table);
    fputs(".Ss Limits\nThe keys of\n.Cm limit :\n", out);
    print_manual_table(out, route_limit_table);
    fputs(".Ss Defaults of tasks\nThe keys of\n.Cm defaults :\n", out);
    print_manual_table(out, route_defaults_table());
    for (size_t i = 0; handler_kinds[i]; i++) {
        fprintf(out, ".Ss The handler %s\n", handler_kinds[i]->name);
        mdoc_print(out, handler_kinds[i]->help);
        print_manual_table(out, handler_kinds[i]->table);
    }
}

static void print_flag(const setting *row, const char *path, void *target, void *arg)
{
    (void)target;
    char flag[NAME_MAX], variable[NAME_MAX];
    option_set_flag(path, flag);
    option_set_variable("ASYNQD", path, variable);
    fprintf(arg, "  %-28s $%s\n", flag, variable);
    (void)row;
}

void config_print_flags(FILE *out)
{
    setting_walk(config_table, NULL, print_flag, out);
}
