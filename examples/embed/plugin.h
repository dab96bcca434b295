/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_H
#define PLUGIN_H

/* Makes `calls` getpid calls through a dispatcher of the plugin's own. Returns how many of them a
 * callback saw, or -errno. */
int plugin_count_calls(int calls);

#endif
