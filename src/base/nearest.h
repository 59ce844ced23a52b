/* What a mistyped word was meant to be. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* The nearest of some words, to be suggested; NULL: none is near. */
const char *nearest_word(const char *word, const char *const *words, size_t count);

#endif
