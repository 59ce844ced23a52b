/*
 * Which word of an argv is code, so that what is put into it would become code: [sh, -c, "echo ${HOME}"], also behind
 * other programs, [env, A=b, bash, -ec, "..."].
 */
#ifndef PROCESS_ARGV_CODE_H
#define PROCESS_ARGV_CODE_H

#include "base/setting.h"

/* Whether the word that comes after these is code for a shell, which knows ${NAME} itself. */
bool argv_code_is_for_shell(const setting_list *words);

/* The same for a shell, Python, Perl, Ruby, Node and the like. */
bool argv_code_is_next(const setting_list *words);

#endif
