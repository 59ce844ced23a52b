/* See identity.h. */
#include "wire/identity.h"

#include "base/text.h"
#include "wire/task_id.h"

#include <stdio.h>
#include <unistd.h>

int identity_make(identity *made)
{
    task_id_make_random(made->id);
    if (gethostname(made->host, sizeof made->host - 1) || !text_is_utf8(made->host, strlen(made->host)))
        snprintf(made->host, sizeof made->host, "unknown-host");
    made->pid = (int32_t)getpid();
    buf_init(&made->text, 0);
    buf_append_format(&made->text, "%s:%d:%s", made->host, (int)made->pid, made->id);
    return buf_failed(&made->text) ? ASYNQ_E_NO_MEMORY : ASYNQ_OK;
}

void identity_clear(identity *made)
{
    buf_clear(&made->text);
}

bytes identity_text(const identity *made)
{
    return (bytes){made->text.data, made->text.length};
}
