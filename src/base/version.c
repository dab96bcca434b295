/* SPDX-License-Identifier: MIT */
/* The version of the library that was linked, which may differ from the headers compiled against.
 */
#include <sta/base.h>

const char *sta_version(void)
{
    return STA_VERSION;
}
