/* See mdoc.h. */
#include "base/mdoc.h"

#include <stdbool.h>
#include <string.h>

enum { LINE_MAX = 76 };

/* In mdoc a backslash is an escape, and a line that begins with a dot or an apostrophe a request. */
static void print_word(FILE *out, const char *word, size_t length, bool begins_line)
{
    if (begins_line && (*word == '.' || *word == '\''))
        fputs("\\&", out);
    for (size_t i = 0; i < length; i++)
        if (word[i] == '\\')
            fputs("\\e", out);
        else
            fputc(word[i], out);
}

void mdoc_print_word(FILE *out, const char *word)
{
    print_word(out, word, strlen(word), false);
}

/* A literal has a line of its own, with the punctuation that follows it. */
static size_t print_literal(FILE *out, const char *word)
{
    size_t length = strcspn(word + 1, "`") + 2;
    fputs(".Ql ", out);
    print_word(out, word + 1, length - 2, true);
    size_t behind = strcspn(word + length, " \n");
    for (size_t i = 0; i < behind; i++)
        fprintf(out, " %c", word[length + i]);
    return length + behind;
}

void mdoc_print(FILE *out, const char *text)
{
    size_t column = 0;
    bool ends_sentence = false;
    for (const char *word = text; *word; word += strspn(word, " \n")) {
        bool is_literal = *word == '`' && strchr(word + 1, '`');
        size_t length = is_literal ? 0 : strcspn(word, " \n");
        bool begins_line = is_literal || !column || ends_sentence || column + 1 + length > LINE_MAX;
        if (column)
            fputc(begins_line ? '\n' : ' ', out);
        if (is_literal)
            word += print_literal(out, word);
        else
            print_word(out, word, length, begins_line);
        word += length;
        column = is_literal ? LINE_MAX : begins_line ? length : column + 1 + length;
        ends_sentence = word[-1] == '.' && length != 1;
    }
    fputc('\n', out);
}
