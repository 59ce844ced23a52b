#include "unit.h"

#include "process/argv_code.h"

enum { MAX_WORDS = 10 };

static const char *const code[][MAX_WORDS] = {
    {"sh", "-c"},
    {"/bin/bash", "-ec"},
    {"bash", "-c", "-e"},
    {"bash", "-eo", "pipefail", "-c"},
    {"bash", "-co", "pipefail"},
    {"bash", "--norc", "--rcfile", "c", "-c"},
    {"sh", "+e", "-uc"},
    {"busybox", "sh", "-c"},
    {"env", "A=sh", "/usr/bin/zsh", "-c"},
    {"timeout", "-s", "KILL", "5", "dash", "-c"},
    {"flock", "-n", "/tmp/lock", "-c"},
    {"su", "-", "user", "--command"},
    {"flock", "/tmp/lock", "sh", "-c"},
};

static const char *const none[][MAX_WORDS] = {
    {NULL},
    {"sh"},
    {"sh", "script", "-c"},
    {"sh", "-c", "code"},
    {"sh", "-c", "code", "sh"},
    {"sh", "-c", "code", "name", "-c"},
    {"bash", "-c", "-o"},
    {"bash", "--rcfile"},
    {"sh", "-e"},
    {"sh", "--c"},
    {"tar", "-c"},
    {"gcc", "-c"},
    {"fish.py", "-c"},
    {"flock", "-c", "code"},
    {"python3", "-c"},
};

static const char *const others[][MAX_WORDS] = {
    {"python3.11", "-c"}, {"/usr/bin/python3", "-I", "-c"},    {"env", "A=b", "perl", "-ne"},
    {"ruby", "-w", "-e"}, {"node", "--no-warnings", "--eval"}, {"php", "-r"},
    {"deno", "eval"},
};

static const char *const programs[][MAX_WORDS] = {
    {"python3", "script.py", "-c"}, {"perl", "-e", "code"}, {"python3", "-m"}, {"node"}, {"cat", "-e"}, {"-c"}, {NULL},
};

static size_t count_words(const char *const *words)
{
    size_t count = 0;
    while (count < MAX_WORDS && words[count])
        count++;
    return count;
}

START_TEST(which_word)
{
    for (size_t i = 0; i < sizeof code / sizeof *code; i++)
        ck_assert_msg(argv_code_is_for_shell(&(setting_list){(const char **)code[i], count_words(code[i])}), "code %zu",
                      i);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        setting_list words = {(const char **)others[i], count_words(others[i])};
        ck_assert_msg(argv_code_is_next(&words) && !argv_code_is_for_shell(&words), "other %zu", i);
    }
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        ck_assert_msg(!argv_code_is_next(&(setting_list){(const char **)programs[i], count_words(programs[i])}),
                      "program %zu", i);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!argv_code_is_for_shell(&(setting_list){(const char **)none[i], count_words(none[i])}),
                      "none %zu", i);
}
END_TEST

Suite *suite_argv_code(void)
{
    const TTest *const list[] = {which_word, NULL};
    return suite_of("argv_code", list);
}
