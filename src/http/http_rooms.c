/* See http_rooms.h. */
#include "http/http_rooms.h"

#include "base/hash.h"

#include <string.h>
#include <utlist.h>

typedef struct http_room {
    struct http_place *place;
    int64_t max;
    int refs;
    admission admission;
    struct http_room *next;
} http_room;

/* A host, and its rooms by their numbers: mostly one. */
typedef struct http_place {
    UT_hash_handle hh;
    http_rooms *owner;
    http_room *rooms;
    char host[];
} http_place;

void http_rooms_init(http_rooms *rooms, loop *l, bool (*is_used)(void *arg, const char *host), void *arg)
{
    *rooms = (http_rooms){.loop = l, .is_used = is_used, .arg = arg};
}

static bool room_is_used(void *arg)
{
    const http_room *room = arg;
    const http_rooms *rooms = room->place->owner;
    return rooms->is_used(rooms->arg, room->place->host);
}

static http_place *http_rooms_find_place(const http_rooms *rooms, const char *host)
{
    http_place *place = NULL;
    HASH_FIND_STR(rooms->places, host, place);
    return place;
}

/* NULL: out of memory. */
static http_place *http_rooms_place_of(http_rooms *rooms, const char *host)
{
    http_place *place = http_rooms_find_place(rooms, host);
    size_t length = strlen(host);
    if (place || !(place = mem_calloc(1, sizeof *place + length + 1)))
        return place;
    place->owner = rooms;
    memcpy(place->host, host, length + 1);
    HASH_ADD_KEYPTR(hh, rooms->places, place->host, length, place);
    if (HASH_HAS(place))
        return place;
    mem_free(place);
    return NULL;
}

static void place_free_empty(http_place *place)
{
    if (place->rooms)
        return;
    HASH_DEL(place->owner->places, place);
    mem_free(place);
}

static void room_free(http_room *room)
{
    LL_DELETE(room->place->rooms, room);
    admission_clear(&room->admission);
    place_free_empty(room->place);
    mem_free(room);
}

static http_room *room_new(http_place *place, int64_t max)
{
    http_room *room = mem_calloc(1, sizeof *room);
    if (!room)
        return NULL;
    room->place = place;
    room->max = max;
    if (admission_init(&room->admission, place->owner->loop, (size_t)max, room_is_used, room)) {
        admission_clear(&room->admission);
        mem_free(room);
        return NULL;
    }
    LL_PREPEND(place->rooms, room);
    return room;
}

asynq_capacity *http_rooms_join(http_rooms *rooms, const char *host, int64_t max)
{
    http_room *room = NULL;
    http_place *place = http_rooms_place_of(rooms, host);
    if (!place)
        return NULL;
    LL_SEARCH_SCALAR(place->rooms, room, max, max);
    if (!room)
        room = room_new(place, max);
    if (!room) {
        place_free_empty(place);
        return NULL;
    }
    room->refs++;
    return room->admission.capacity;
}

void http_rooms_leave(http_rooms *rooms, const char *host, int64_t max)
{
    http_room *room = NULL;
    const http_place *place = http_rooms_find_place(rooms, host);
    if (place)
        LL_SEARCH_SCALAR(place->rooms, room, max, max);
    if (room && !--room->refs)
        room_free(room);
}

void http_rooms_begin(const http_rooms *rooms, const char *host)
{
    http_room *room;
    const http_place *place = http_rooms_find_place(rooms, host);
    if (place)
        LL_FOREACH(place->rooms, room)
            admission_begin(&room->admission);
}

void http_rooms_clear(http_rooms *rooms)
{
    http_place *place, *next;
    HASH_ITER(hh, rooms->places, place, next) {
        http_room *room, *following;
        LL_FOREACH_SAFE(place->rooms, room, following)
        room_free(room); /* the last one takes the place along */
    }
}
