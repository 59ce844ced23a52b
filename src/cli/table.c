/* Tables and other text for people. */
#include "cli/cli.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/terminal.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLUMNS_MAX = 16, GAP = 2, NARROWEST = 8, CELL_MAX_BYTES = 256 };

struct cli_table {
    const char *titles[COLUMNS_MAX];
    bool is_number[COLUMNS_MAX];
    size_t columns;
    char **cells;
    size_t count, capacity;
};

cli_table *cli_table_new(const char *const *titles)
{
    cli_table *table = mem_calloc(1, sizeof *table);
    if (!table)
        abort();
    for (; titles[table->columns] && table->columns < COLUMNS_MAX; table->columns++) {
        const char *title = titles[table->columns];
        table->is_number[table->columns] = *title == '>';
        table->titles[table->columns] = title + (*title == '>');
    }
    return table;
}

/* Ours from now on. */
static void take_cell(cli_table *table, char *cell)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cells = mem_realloc(table->cells, table->capacity * sizeof *table->cells);
        if (!table->cells)
            abort();
    }
    table->cells[table->count++] = cell;
}

void cli_table_add(cli_table *table, const char *text)
{
    take_cell(table, cli_escape_copy(text));
}

void cli_table_add_bytes(cli_table *table, const void *data, size_t length)
{
    take_cell(table, cli_escape_bytes(data, length, CELL_MAX_BYTES));
}

void cli_table_addf(cli_table *table, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_table_add(table, text);
}

void cli_table_add_number(cli_table *table, int64_t number)
{
    cli_table_addf(table, "%" PRId64, number);
}

/* ---- widths ---- */

static void table_measure(const cli_table *table, int *widths)
{
    for (size_t column = 0; column < table->columns; column++) {
        widths[column] = terminal_width(table->titles[column], strlen(table->titles[column]));
        for (size_t i = column; i < table->count; i += table->columns) {
            int width = terminal_width(table->cells[i], strlen(table->cells[i]));
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
}

static void table_narrow(const cli_table *table, int *widths, int terminal)
{
    for (;;) {
        int sum = 0;
        size_t widest = table->columns;
        for (size_t i = 0; i < table->columns; i++) {
            sum += widths[i] + (i ? GAP : 0);
            if (!table->is_number[i] && widths[i] > NARROWEST &&
                (widest == table->columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (sum <= terminal || widest == table->columns)
            return;
        widths[widest]--;
    }
}

/* ---- printing ---- */

static void append_cell(buf *line, const char *text, int width, bool to_the_right, bool is_last)
{
    size_t length = strlen(text);
    bool is_cut = terminal_width(text, length) > width;
    if (is_cut)
        length = terminal_fit(text, width - 1);
    int padding = width - terminal_width(text, length) - is_cut;
    if (to_the_right)
        buf_append_format(line, "%*s", padding, "");
    buf_append_format(line, "%.*s%s", (int)length, text, is_cut ? cli_ellipsis() : "");
    if (!is_last)
        buf_append_format(line, "%*s", GAP + (to_the_right ? 0 : padding), "");
}

static void make_line(const cli_table *table, const char *const *cells, const int *widths, buf *line)
{
    buf_clear(line);
    for (size_t i = 0; i < table->columns; i++)
        append_cell(line, cells[i], widths[i], table->is_number[i], i + 1 == table->columns);
    if (buf_failed(line))
        abort();
}

void cli_table_lines(cli_table *table, int width, cli_line_cb take_line, void *arg)
{
    int widths[COLUMNS_MAX];
    buf line;
    buf_init(&line, 0);
    table_measure(table, widths);
    if (width)
        table_narrow(table, widths, width);
    make_line(table, table->titles, widths, &line);
    take_line(arg, 0, line.data);
    for (size_t i = 0; i + table->columns <= table->count; i += table->columns) {
        make_line(table, (const char *const *)&table->cells[i], widths, &line);
        take_line(arg, 1 + i / table->columns, line.data);
    }
    buf_clear(&line);
    for (size_t i = 0; i < table->count; i++)
        mem_free(table->cells[i]);
    mem_free(table->cells);
    mem_free(table);
}

static void print_line(void *arg, size_t row, const char *text)
{
    const cli_run *cli = arg;
    bool is_bold = row == 0 && cli->in_colour;
    printf("%s%s%s\n", is_bold ? "\033[1m" : "", text, is_bold ? "\033[0m" : "");
}

void cli_table_print(const cli_run *cli, cli_table *table)
{
    cli_table_lines(table, cli->width, print_line, (void *)(uintptr_t)cli);
}

/* ---- values ---- */

const char *cli_format_duration(int64_t ms, char *text)
{
    int64_t s = ms / 1000;
    if (ms <= 0)
        strcpy(text, "-");
    else if (ms < 1000)
        snprintf(text, 32, "%" PRId64 "ms", ms);
    else if (s < 60)
        snprintf(text, 32, "%" PRId64 "s", s);
    else if (s < 3600)
        snprintf(text, 32, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 24 * 3600)
        snprintf(text, 32, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(text, 32, "%" PRId64 "d%02" PRId64 "h", s / (24 * 3600), s / 3600 % 24);
    return text;
}

const char *cli_format_progress(double fraction, const char *words, char *text)
{
    char percent[16] = "";
    if (fraction >= 0)
        snprintf(percent, sizeof percent, "%d%%", (int)(fraction * 100));
    snprintf(text, 256, "%s%s%.*s", percent, *percent && *words ? ", " : "", (int)text_cut(words, strlen(words), 200),
             words);
    return text;
}

const char *cli_format_time(int64_t at_ms, char *text)
{
    struct tm parts;
    time_t second = at_ms / 1000;
    if (at_ms <= 0 || !localtime_r(&second, &parts) || !strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts))
        strcpy(text, "-");
    return text;
}

const char *cli_format_bytes(int64_t bytes, char *text)
{
    static const char *const names[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < sizeof names / sizeof *names; unit++)
        value /= 1000;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, names[unit]);
    return text;
}
