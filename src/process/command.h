/*
 * The command handler: each attempt is a run of a program. command.c has the course of a run, command_options.h what a
 * route says about it.
 */
#ifndef PROCESS_COMMAND_H
#define PROCESS_COMMAND_H

#include "handler/handler.h"

extern const handler_kind handler_command;

#endif
