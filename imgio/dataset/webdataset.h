/* webdataset.h - the samples of a WebDataset tar: members that share a key, such as 000.jpg, 000.cls and
 * 000.json.
 *
 * A member's key is its path up to the first dot of its last part; what follows that dot is its extension. So
 * "a.seg.png" is no picture of "a", unless the user says that the extension "seg.png" is one of a picture.
 * Neighbours with one key are a sample, and a key may return later as another sample. */
#ifndef MOHVIT_WEBDATASET_H
#define MOHVIT_WEBDATASET_H

#include "imgio/dataset/dataset_source.h"

typedef struct tar_member {
    const char *name;
    uint64_t place, size;
    bool folder;
} tar_member;

/* Whether members (count) are samples: whether a picture shares its key with a .cls, wherever in the tar it
 * is. A stray .cls among folders of pictures makes none of them a sample. */
mohvit_status webdataset_find(bool *found, const dataset_source *s, const tar_member *members, size_t count,
                              mohvit_error *err);

/* Adds the picture of each sample, with its class as label. Where picture and class lie apart, they are
 * joined if the key has one of each in the whole tar; whatever else is not a sample is an error that names
 * the key. */
mohvit_status webdataset_add(dataset_source *s, const tar_member *members, size_t count, mohvit_error *err);

#endif
