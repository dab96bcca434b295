#include <errno.h>
#include <sta.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int refuse(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    const struct sta_sys_enter *event = ctx;

    (void)ctx_size, (void)ret;
    *(const char **)user_data = (const char *)event->args[0];
    return sta_override_return(-EPERM);
}

int main(void)
{
    const char *refused = NULL;
    struct sta_target target;
    struct sta *sta;

    if (sta_new(&sta, NULL) < 0 || sta_target_parse(&target, "sys_enter_unlink") < 0 ||
        sta_attach(sta, &target, refuse, &refused) < 0 || sta_transform_install(sta, NULL) < 0)
        return 1;
    if (unlink("precious.txt") < 0)
        printf("%s: %s\n", refused, strerror(errno));
    sta_free(sta);
    if (unlink("precious.txt") < 0)
        printf("precious.txt: %s\n", strerror(errno));
    return 0;
}
