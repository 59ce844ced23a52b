/* See text_tail.h. */
#include "handler/text_tail.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

void text_tail_init(text_tail *tail, size_t max)
{
    *tail = (text_tail){.max = max};
    buf_init(&tail->text, 0);
}

void text_tail_add(text_tail *tail, const char *data, size_t length)
{
    buf_append(&tail->text, data, length);
    if (tail->text.length <= 2 * tail->max)
        return;
    size_t surplus = tail->text.length - tail->max;
    memmove(tail->text.data, tail->text.data + surplus, tail->max);
    tail->text.length = tail->max;
    tail->is_cut = true;
}

const char *text_tail_get(text_tail *tail)
{
    char *text = tail->text.data;
    size_t length = tail->text.length;
    if (!text)
        return "";
    if (length > tail->max) {
        text += length - tail->max;
        length = tail->max;
        tail->is_cut = true;
    }
    for (; length && tail->is_cut && ((unsigned char)*text & 0xc0) == 0x80; text++)
        length--; /* not in the middle of a character */
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    for (; length && isspace((unsigned char)*text); text++)
        length--;
    text[length] = '\0';
    text_make_utf8(text, length);
    return text;
}

void text_tail_clear(text_tail *tail)
{
    buf_clear(&tail->text);
}
