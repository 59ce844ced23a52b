/* See setting_refs.h. */
#include "base/setting_refs.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFS_FILE_MAX = 65536, REFS_MASKED_FROM = 4 /* shorter texts are everywhere, and no secrets */ };

static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

static const char *keep_ref(setting_refs *refs, const char *value, const char *written, bool is_file, arena *memory)
{
    setting_ref *ref = value && written ? arena_alloc(memory, sizeof *ref) : NULL;
    if (!ref)
        return NULL;
    *ref = (setting_ref){.value = value, .written = written, .is_file = is_file, .next = refs->items};
    refs->items = ref;
    return value;
}

/* ---- variables ---- */

/* The length of "${NAME}"; 0: it is none. */
static size_t reference_length(const char *at)
{
    size_t length = strspn(at + 2, name_letters);
    bool is_name = length && !(at[2] >= '0' && at[2] <= '9');
    return is_name && at[2 + length] == '}' ? length + 3 : 0;
}

static const char *variable_value(const char *at, size_t length, arena *memory, buf *problem)
{
    const char *name = arena_dup(memory, at + 2, length - 3), *value = name ? getenv(name) : NULL;
    if (name && !value)
        buf_append_format(problem, "there is no $%s in the environment; $${ stands for the characters ${", name);
    else if (value && !text_is_utf8(value, strlen(value)))
        buf_append_format(problem, "$%s is not UTF-8", name);
    else
        return value;
    return NULL;
}

/* Appends what stands at `*at`. False: see `problem`. */
static bool expand_one(setting_refs *refs, const char **at, buf *out, arena *memory, buf *problem)
{
    size_t length = reference_length(*at);
    if (!length) {
        buf_append_text(problem, "\"${\" begins a variable, as in ${NAME}; $${ stands for the two characters");
        return false;
    }
    const char *value = variable_value(*at, length, memory, problem);
    if (!value)
        return false;
    keep_ref(refs, arena_dup(memory, value, strlen(value)), arena_dup(memory, *at, length), false, memory);
    buf_append_text(out, value);
    *at += length;
    return true;
}

static bool expand_all(setting_refs *refs, const char *text, buf *out, arena *memory, buf *problem)
{
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "$");
        buf_append(out, at, plain);
        at += plain;
        if (strncmp(at, "$${", 3) == 0) {
            buf_append_text(out, "${");
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            if (!expand_one(refs, &at, out, memory, problem))
                return false;
        } else if (*at) {
            buf_append(out, at++, 1);
        }
    }
    return true;
}

const char *setting_refs_expand(setting_refs *refs, const char *text, arena *memory, buf *problem)
{
    buf out;
    if (!strstr(text, "${"))
        return text;
    buf_init(&out, 0);
    bool is_made = expand_all(refs, text, &out, memory, problem) && !buf_failed(&out);
    const char *value = is_made ? arena_dup(memory, out.data ? out.data : "", out.length) : NULL;
    buf_clear(&out);
    return value ? keep_ref(refs, value, arena_dup(memory, text, strlen(text)), false, memory) : NULL;
}

const char *setting_refs_unescape(const char *text, arena *memory)
{
    const char *at = strstr(text, "$${");
    char *copy = at ? arena_dup(memory, text, strlen(text)) : NULL;
    if (!at || !copy)
        return at ? NULL : text;
    for (char *escape = copy; (escape = strstr(escape, "$${")); escape += 2)
        memmove(escape, escape + 1, strlen(escape));
    return copy;
}

/* ---- files ---- */

static const char *why_unfit(const char *text, size_t length)
{
    if (!length)
        return "is empty";
    if (length >= REFS_FILE_MAX)
        return "is too large for a value";
    if (memchr(text, '\0', length))
        return "has a NUL byte";
    return text_is_utf8(text, length) ? NULL : "is not UTF-8";
}

const char *setting_refs_read(setting_refs *refs, const char *path, arena *memory, buf *problem)
{
    char text[REFS_FILE_MAX];
    FILE *in = fopen(path, "re");
    size_t length = in ? fread(text, 1, sizeof text, in) : 0;
    bool is_wrong = !in || ferror(in);
    int reason = errno;
    if (in)
        fclose(in);
    if (is_wrong) {
        buf_append_format(problem, "%s: %s", path, strerror(reason));
        return NULL;
    }
    length -= length && text[length - 1] == '\n';
    const char *unfit = why_unfit(text, length);
    if (unfit) {
        buf_append_format(problem, "%s: %s", path, unfit);
        return NULL;
    }
    return keep_ref(refs, arena_dup(memory, text, length), arena_dup(memory, path, strlen(path)), true, memory);
}

/* ---- what was written ---- */

const setting_ref *setting_refs_find(const setting_refs *refs, const void *value)
{
    const setting_ref *ref = refs->items;
    while (ref && ref->value != value)
        ref = ref->next;
    return ref;
}

void setting_refs_copy(setting_refs *refs, const char *from, const void *to, arena *memory)
{
    const setting_ref *ref = setting_refs_find(refs, from);
    if (ref && keep_ref(refs, to, ref->written, ref->is_file, memory))
        refs->items->is_place = true;
}

/* The longest one that begins there; whole texts are made of shorter ones. */
static const setting_ref *find_at(const setting_refs *refs, const char *at, size_t *longest)
{
    const setting_ref *found = NULL;
    *longest = REFS_MASKED_FROM - 1;
    for (const setting_ref *ref = refs->items; ref; ref = ref->next) {
        size_t length = ref->is_place ? 0 : strlen(ref->value);
        if (length > *longest && strncmp(at, ref->value, length) == 0) {
            *longest = length;
            found = ref;
        }
    }
    return found;
}

void setting_refs_mask(const setting_refs *refs, const char *text, buf *out)
{
    for (const char *at = text; *at;) {
        size_t length;
        const setting_ref *ref = find_at(refs, at, &length);
        if (ref)
            buf_append_format(out, ref->is_file ? "{file: %s}" : "%s", ref->written);
        else
            buf_append(out, at, 1);
        at += ref ? length : 1;
    }
}

void setting_refs_strip(const char *written, buf *out)
{
    while (*written) {
        size_t length = strncmp(written, "${", 2) == 0 ? reference_length(written) : 0;
        if (!length)
            buf_append(out, written, 1);
        written += length ? length : 1;
    }
}
