/* Which characters are shown as they are. */
#ifndef BASE_PRINTABLE_H
#define BASE_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

/* What Go's strconv.IsPrint says: letters, marks, numbers, punctuation, symbols, and of all spaces the one of ASCII. */
bool is_printable(uint32_t character);

#endif
