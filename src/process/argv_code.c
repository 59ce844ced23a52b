/* See argv_code.h. */
#include "process/argv_code.h"

#include "base/text.h"

#include <string.h>

static const char shells[] = "sh bash dash ash ksh mksh pdksh zsh fish yash posh rbash";
/* These give what stands behind -c to a shell, and have other words before it. */
static const char others[] = "su runuser flock";

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool argv_code_is_among(const char *names, const char *path)
{
    const char *name = file_name(path);
    return text_has_word(names, name, strlen(name));
}

static bool is_option(const char *word)
{
    return (*word == '-' || *word == '+') && word[1];
}

/* "-c", "-ec", and "--command" of su and the others. */
static bool takes_code(const char *word)
{
    if (strcmp(word, "--command") == 0)
        return true;
    return *word == '-' && word[1] != '-' && strchr(word, 'c');
}

/* "-o pipefail": the next word belongs to the option. */
static bool takes_name(const char *word)
{
    static const char long_ones[] = "--rcfile --init-file";
    bool is_cluster = is_option(word) && word[1] != '-';
    return (is_cluster && strpbrk(word + 1, "oO")) || text_has_word(long_ones, word, strlen(word));
}

/* `words` follow the name of the shell. `is_strict`: its options come before everything else. */
static bool code_follows(const char *const *words, size_t count, bool is_strict)
{
    bool takes = false;
    for (size_t i = 0; i < count; i++) {
        if (is_option(words[i])) {
            takes |= takes_code(words[i]);
            i += is_strict && takes_name(words[i]);
        } else if (is_strict || takes) {
            return false; /* that was the code, or the name of a script */
        }
        if (i >= count)
            return false; /* what comes is the name */
    }
    return takes;
}

/* The last letter of the option behind which code stands; -ne of Perl is one, too. */
static const struct {
    const char *names, *letters, *options;
} interpreters[] = {
    {"python pypy", "c", ""},
    {"perl raku", "eE", ""},
    {"ruby lua luajit elixir", "e", "--eval"},
    {"node nodejs bun deno", "ep", "--eval --print eval"},
    {"php", "rBRE", "--run"},
    {"Rscript R", "e", ""},
};

enum { INTERPRETERS = sizeof interpreters / sizeof *interpreters };

/* "python3.11" is "python". */
static bool is_interpreter(size_t which, const char *path)
{
    const char *name = file_name(path);
    return text_has_word(interpreters[which].names, name, strcspn(name, "0123456789.-"));
}

static bool asks_for_code(size_t which, const char *word)
{
    size_t length = strlen(word);
    bool is_cluster = length > 1 && word[0] == '-' && word[1] != '-';
    return (is_cluster && strchr(interpreters[which].letters, word[length - 1])) ||
           text_has_word(interpreters[which].options, word, length);
}

/* All words between the interpreter and the last one must be options: behind a script its own arguments follow. */
static bool is_for_interpreter(size_t which, const setting_list *words)
{
    size_t at = words->count - 1;
    if (!asks_for_code(which, words->items[at]))
        return false;
    while (at > 0 && is_option(words->items[at - 1]))
        at--;
    return at > 0 && is_interpreter(which, words->items[at - 1]);
}

bool argv_code_is_for_shell(const setting_list *words)
{
    for (size_t i = words->count; i-- > 0;) {
        bool is_shell = argv_code_is_among(shells, words->items[i]);
        if (is_shell || argv_code_is_among(others, words->items[i]))
            return code_follows(words->items + i + 1, words->count - i - 1, is_shell);
    }
    return false;
}

bool argv_code_is_next(const setting_list *words)
{
    bool is_code = argv_code_is_for_shell(words);
    for (size_t i = 0; words->count && !is_code && i < INTERPRETERS; i++)
        is_code = is_for_interpreter(i, words);
    return is_code;
}
