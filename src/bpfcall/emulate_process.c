/* SPDX-License-Identifier: MIT */
/* sta_emulate_process(): see sta/object.h. */
#include <errno.h>
#include <pthread.h>

#include <sta/object.h>
#include <sta/transform.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sta *process_sta; /* under the mutex; lasts as long as the process */

static int start(const struct sta_emulate_options *options)
{
    const struct sta_options how = {sizeof(how), options ? options->log : NULL,
                                    options ? options->log_data : NULL};
    struct sta *sta;
    int err = sta_new(&sta, &how);

    if (err < 0)
        return err;
    err = sta_emulate_start(sta, options);
    if (err == 0) {
        err = sta_transform_install(sta, NULL);
        if (err < 0)
            sta_emulate_stop(sta);
    }
    if (err < 0)
        sta_free(sta);
    else
        process_sta = sta;
    return err;
}

int sta_emulate_process(const struct sta_emulate_options *options)
{
    int err;

    if (options && options->size < sizeof(*options))
        return -EINVAL;
    pthread_mutex_lock(&mutex);
    err = process_sta ? 0 : start(options);
    pthread_mutex_unlock(&mutex);
    return err;
}
