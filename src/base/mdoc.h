/* Texts for manual pages in mdoc(7). */
#ifndef BASE_MDOC_H
#define BASE_MDOC_H

#include <stdio.h>

/* Fills lines, and begins a new one with each sentence, as mdoc wants it. `Words` in backquotes become literals. */
void mdoc_print(FILE *out, const char *text);
/* As it is, in the middle of a line. */
void mdoc_print_word(FILE *out, const char *word);

#endif
