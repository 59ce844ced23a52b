/* See rig.h. usage: asynq-rig SETTING=VALUE... */
#include "rig.h"

#include <string.h>

int main(int argc, char **argv)
{
    rig_read_settings(argc, argv);
    return strcmp(rig.role, "work") == 0 ? rig_work() : rig_enqueue();
}
