/* SPDX-License-Identifier: MIT */
/*
 * What the transformer does to this process: per mapping, how many system call instructions are
 * rewritten by which method, and why the others are not. With addresses: `report -v`.
 */
#include <stdio.h>
#include <string.h>

#include <sta.h>

static void print_sites(struct sta *sta, unsigned mapping)
{
    struct sta_transform_site site = {.size = sizeof(site)};

    for (unsigned i = 0; sta_transform_site(sta, mapping, i, &site) == 0; i++) {
        const char *name = site.sys_nr >= 0 ? sta_syscall_name(site.sys_nr) : NULL;

        printf("    0x%lx  %-10s %-10s %s%s\n", (unsigned long)site.address,
               sta_site_method_name(site.method), name ? name : "",
               sta_site_reason_text(site.reason), site.rewritten ? "" : "; as it was");
    }
}

static void print_mapping(const struct sta_transform_mapping *mapping)
{
    printf("%s\n    %u sites, %u rewritten now:", mapping->path, mapping->sites,
           mapping->rewritten);
    for (int i = 0; i < STA_SITE_METHOD_COUNT; i++)
        if (mapping->by_method[i] > 0)
            printf(" %u %s;", mapping->by_method[i], sta_site_method_name(i));
    printf("\n");
    for (int i = 0; i < STA_REASON_COUNT; i++)
        if (mapping->by_reason[i] > 0)
            printf("%8u  %s\n", mapping->by_reason[i], sta_site_reason_text(i));
}

static int nothing(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return 0;
}

int main(int argc, char **argv)
{
    const struct sta_transform_options options = {.size = sizeof(options),
                                                  .method = STA_METHOD_REWRITE};
    const struct sta_target all = {.sys_nr = STA_ALL_SYSCALLS, .is_enter = true};
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};
    struct sta *sta;

    if (sta_new(&sta, NULL) < 0 || sta_attach(sta, &all, nothing, NULL) < 0 ||
        sta_transform_install(sta, &options) < 0)
        return 1;
    for (unsigned i = 0; sta_transform_mapping(sta, i, &mapping) == 0; i++) {
        print_mapping(&mapping);
        if (argc > 1 && strcmp(argv[1], "-v") == 0)
            print_sites(sta, i);
    }
    sta_free(sta);
    return 0;
}
