/* See frame_link.h. */
#include "process/frame_link.h"

#include <asynq/error.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

static void link_send_more(frame_link *link)
{
    while (link->out_sent < link->out.length) {
        ssize_t more = send(link->fd, link->out.data + link->out_sent, link->out.length - link->out_sent, MSG_NOSIGNAL);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            break; /* full; or closed: then its end is about to be told */
        link->out_sent += (size_t)more;
    }
    bool is_done = link->out_sent == link->out.length;
    if (is_done) {
        buf_clear(&link->out);
        link->out_sent = 0;
    }
    loop_watch_set(&link->watch, true, !is_done);
}

bool frame_link_send(frame_link *link, const frame *f)
{
    if (!link->is_open || link->is_shut)
        return false;
    frame_append(f, &link->out);
    if (buf_failed(&link->out)) {
        link->events.broken(link->events.arg, "out of memory for what is to be sent");
        return false;
    }
    link_send_more(link);
    return true;
}

static void link_take_frames(frame_link *link)
{
    asynq_error error;
    if (!link->is_shut && frame_take_all(&link->in, link->events.frame, link->events.arg, &error))
        link->events.broken(link->events.arg, error.text);
}

/* True if there may be more. */
static bool link_read(frame_link *link)
{
    char *room = buf_reserve(&link->in, READ_BYTES);
    if (!room) {
        link->events.broken(link->events.arg, "out of memory for a frame");
        return false;
    }
    ssize_t length = read(link->fd, room, READ_BYTES);
    if (length <= 0) {
        if (length == 0 || (errno != EAGAIN && errno != EINTR))
            loop_watch_set(&link->watch, false, false); /* closed: its end is about to be told, or it is silent */
        return false;
    }
    link->in.length += (size_t)length;
    frame_link_expect(link);
    link_take_frames(link);
    return !link->is_shut;
}

static void frame_link_ready(void *arg, bool can_read, bool can_write)
{
    frame_link *link = arg;
    if (can_write)
        link_send_more(link);
    if (can_read)
        link_read(link);
}

void frame_link_open(frame_link *link, loop *l, int fd, const frame_link_events *events)
{
    *link = (frame_link){.loop = l, .events = *events, .is_open = true, .fd = fd};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    buf_init(&link->in, FRAME_MAX + READ_BYTES);
    buf_init(&link->out, 0);
    loop_watch_init(l, &link->watch, fd, frame_link_ready, link);
    loop_watch_set(&link->watch, true, false);
    frame_link_expect(link);
}

void frame_link_read_last(frame_link *link)
{
    int there = 0;
    if (ioctl(link->fd, FIONREAD, &there))
        there = READ_BYTES;
    for (; there > 0 && !link->is_shut && link_read(link); there -= READ_BYTES)
        continue;
}

void frame_link_shut(frame_link *link)
{
    link->is_shut = true;
    if (link->is_open)
        loop_watch_set(&link->watch, false, false);
}

int64_t frame_link_silent_ms(const frame_link *link)
{
    return loop_steady_ms(link->loop) - link->heard_at_ms;
}

void frame_link_expect(frame_link *link)
{
    link->heard_at_ms = loop_steady_ms(link->loop);
}

void frame_link_close(frame_link *link)
{
    if (!link->is_open)
        return;
    loop_watch_clear(&link->watch);
    close(link->fd);
    buf_clear(&link->in);
    buf_clear(&link->out);
    link->is_open = false;
}
