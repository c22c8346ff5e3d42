#include "tools/program/provenance.h"

#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "vit/api/texts.h"
#include "weights/embedded.h"
#include "weights/weights_hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* null where the file can no longer be read. */
static json_t *hash_checkpoint(const char *path)
{
    char hash[WEIGHTS_HASH_SIZE];
    mohvit_error err;
    if (!weights_hash_file(hash, path, &err))
        return json_text(hash);
    if (err.status == MOHVIT_ERROR_MEMORY)
        or_die(NULL);
    complain("warning: %s; its hash is left out", err.message);
    return json_null();
}

static json_t *hash_built_in(void)
{
    char hash[WEIGHTS_HASH_SIZE];
    weights_hash_bytes(hash, embedded_model, embedded_model_size());
    return json_text(hash);
}

static json_t *hash_source(const model_source *source)
{
    switch (source->kind) {
    case SOURCE_FILE:
        return hash_checkpoint(source->path);
    case SOURCE_BUILT_IN:
        return hash_built_in();
    case SOURCE_SYNTHETIC:
        return or_die(json_sprintf("synthetic:%" PRIu64, source->seed));
    default:
        return json_null();
    }
}

json_t *cpu_name(void)
{
    char line[256], *name = NULL;
    struct utsname system;
    errno = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && !name && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon)
            name = colon + 1 + strspn(colon + 1, " ");
    }
    if (!name && errno == ENOMEM)
        or_die(NULL);
    if (f)
        fclose(f);
    if (name)
        name[strcspn(name, "\n")] = '\0';
    return json_text(name && *name ? name : uname(&system) ? "unknown" : system.machine);
}

json_t *provenance_json(const model_source *source, const config *c, const mohvit_model *m, int threads)
{
    json_t *object = or_die(json_object());
    json_t *known =
        or_die(m ? provenance_of_model(mohvit_describe(m), mohvit_network(m)) : provenance_of_config(c));
    json_put(object, "version", json_text(mohvit_version()));
    json_put(object, "weights_hash", hash_source(source));
    if (json_object_update(object, known))
        or_die(NULL);
    json_decref(known);
    json_put(object, "threads", json_integer(threads));
    json_put(object, "cpu", cpu_name());
    return object;
}
