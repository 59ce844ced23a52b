/* Which characters are shown as they are. */
#ifndef BASE_PRINTABLE_H
#define BASE_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

/* What Go's strconv.IsPrint says: letters, marks, numbers, punctuation, symbols, and of all spaces the one of ASCII. */
bool is_printable(uint32_t character);

/* Of those that are printable: nothing is drawn for it, so that two texts look the same. */
bool is_unseen(uint32_t character);

/* Of those that are printable: it is drawn over the character before it. */
bool is_mark(uint32_t character);

#endif
