/**
 * Environment: the only place that reads it.
 *
 * Few things are taken from the environment, each read once by an edge (a command) and passed on as
 * an option. Nothing is ever set.
 *
 * Thread: immutable (nobody changes the environment).
 */
#ifndef DL_BASE_ENV_H
#define DL_BASE_ENV_H

#include "base/status.h"

/** The value of a variable, borrowed for the life of the process; NULL when unset or empty. */
const char *dl_env_get(const char *name) DL_NODISCARD;

#endif
