/* make_seeds FOLDER: writes the seeds as FOLDER/TARGET/NUMBER. */
#include "tests/fuzz/seeds.h"

#include <sys/stat.h>

static const char *folder;

const char *seed_path(const char *target)
{
    static char path[512];
    static int number;
    snprintf(path, sizeof path, "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%03d", folder, target, number++);
    return path;
}

void seed(const char *target, blob b)
{
    blob_write(seed_path(target), b.data, b.size);
    free(b.data);
}

void seed_text(const char *target, const char *text)
{
    blob_write(seed_path(target), text, strlen(text));
}

const char seed_config[] = "{\"embed_dims\":[2,2,2,2],\"num_heads\":[2,2,2,2],\"depths\":[1,1,1,1],"
                           "\"mlp_ratios\":[1.5,2,2,2],\"sr_ratios\":[8,4,2,1],\"shared_head\":[1,2,0,0],"
                           "\"routed_head\":[1,0,1,1],\"num_classes\":2,\"img_size\":64}";

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    folder = argv[1];
    seed_pictures();
    seed_checkpoints();
    seed_data_sets();
    seed_evaluations();
    return 0;
}
