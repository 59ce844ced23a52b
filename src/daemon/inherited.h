/*
 * What the program that starts asynqd hands down beside the environment: which signals are ignored, and which are
 * blocked. An exec keeps both, and neither is what asynqd is written for. Threads: those of whoever calls, before there
 * are others.
 */
#ifndef DAEMON_INHERITED_H
#define DAEMON_INHERITED_H

/*
 * The same signals for everybody, whoever started us: none is blocked; the ends of children can be asked for; a pipe
 * that nobody reads and a file that may not grow are errors of the call that writes. What else is ignored stays so.
 */
void inherited_reset_signals(void);

/* HUP and TSTP wait until asynqd can do what they ask for, where they would end or stop one that is starting. */
void inherited_postpone_signals(void);

#endif
