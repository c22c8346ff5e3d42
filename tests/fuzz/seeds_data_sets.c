#include "tests/fuzz/seeds.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

/* ---- Tars ------------------------------------------------------------------------------------ */

typedef struct member {
    const char *name, *content; /* content NULL: a symbolic link */
} member;

static void seed_tar(int format, const member *members, size_t count)
{
    static char out[1 << 16];
    size_t used = 0;
    struct archive *a = archive_write_new();
    assert_int_equal(archive_write_set_format(a, format), ARCHIVE_OK);
    archive_write_set_bytes_per_block(a, 512);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open_memory(a, out, sizeof out, &used), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        const char *content = members[i].content;
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, members[i].name);
        archive_entry_set_filetype(e, content ? AE_IFREG : AE_IFLNK);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, content ? (int64_t)strlen(content) : 0);
        if (!content)
            archive_entry_set_symlink(e, "elsewhere");
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (content)
            assert_int_equal(archive_write_data(a, content, strlen(content)), strlen(content));
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    blob b = {0};
    blob_add(&b, out, used);
    seed("tar", b);
}

static void seed_tars(void)
{
    char deep[160] = "";
    memset(deep, 'd', 130);
    strcpy(deep + 130, "/x.jpg");
    const member folders[] = {{"./n01440764/a.JPEG", "\xff\xd8\xff picture"},
                              {"n01443537/b.png", "x"},
                              {"README", "text"},
                              {deep, "\xff\xd8\xff"}};
    const member samples[] = {{"000.cls", "3\n"},   {"000.jpg", "x"}, {"001.jpg", "y"},
                              {"001.cls", "dress"}, {".hidden", "x"}, {"odd", "\x89PNG\r\n\x1a\n0123456789"}};
    const member apart[] = {{"a.jpg", "x"}, {"b.jpg", "y"},       {"a.cls", "1"},
                            {"b.cls", "2"}, {"d/c.seg.png", "z"}, {"d/c.x.cls", "3"},
                            {"d/", ""},     {"a.jpg", "v"},       {"a.cls", "4"}},
                 paths[] = {{"n01440764/a.JPEG", "\xff\xd8\xff"},
                            {"__MACOSX/n01440764/._a.JPEG", "x"},
                            {"n01443537/in/b.v2.png", "x"},
                            {".//n01440764/./a.JPEG", "\xff\xd8\xff 2"}};
    const member others[] = {{"inner.tar", "x"}, {"link", NULL}}, link[] = {{"link.jpg", NULL}};
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, folders, 3);
    seed_tar(ARCHIVE_FORMAT_TAR_GNUTAR, folders, 4);
    seed_tar(ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, folders, 4);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, samples, 6);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, apart, 4);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, apart, 9);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, apart + 2, 7);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, paths, 4);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, others, 2);
    seed_tar(ARCHIVE_FORMAT_TAR_USTAR, link, 1);
}

/* ---- MNIST's format -------------------------------------------------------------------------- */

/* zlib's gzip of a blob, which it frees. */
static blob packed(blob plain)
{
    static uint8_t out[4096];
    z_stream z = {
        .next_in = plain.data, .avail_in = (uInt)plain.size, .next_out = out, .avail_out = sizeof out};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    blob b = {0};
    blob_add(&b, out, sizeof out - z.avail_out);
    deflateEnd(&z);
    free(plain.data);
    return b;
}

static blob idx_of(size_t rank, const uint8_t *shape)
{
    blob b = {0};
    size_t bytes = 1;
    blob_add(&b, "\0\0\x08", 3);
    blob_add(&b, &(uint8_t){(uint8_t)rank}, 1);
    for (size_t i = 0; i < rank; i++) {
        blob_add(&b, (uint8_t[]){0, 0, 0, shape[i]}, 4);
        bytes *= shape[i];
    }
    for (size_t i = 0; i < bytes; i++)
        blob_add(&b, &(uint8_t){(uint8_t)(i % 5)}, 1);
    return b;
}

/* The fuzz target's own form: how long the labels are, labels, pictures. Frees both. */
static void seed_pair(blob labels, blob images)
{
    blob b = {0};
    blob_add(&b, (uint8_t[]){(uint8_t)labels.size, (uint8_t)(labels.size >> 8)}, 2);
    blob_add(&b, labels.data, labels.size);
    blob_add(&b, images.data, images.size);
    free(labels.data);
    free(images.data);
    seed("idx", b);
}

static void seed_idx(void)
{
    const uint8_t count[] = {3}, gray[] = {3, 4, 5}, colour[] = {3, 4, 4, 3};
    seed_pair(idx_of(1, count), idx_of(3, gray));
    seed_pair(idx_of(1, count), idx_of(4, colour));
    seed_pair(packed(idx_of(1, count)), packed(idx_of(3, gray)));
    seed_pair((blob){0}, idx_of(3, gray));
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static void seed_lists(void)
{
    seed_text("lists", "a/x.jpg\n./b/y.jpg\r\nn01440764/z.png\n");
    seed_text("lists", "x.jpg 3\ny.jpg\tn01443537\n\na b.jpg\tT-shirt/top\n./x 3\n");
    seed_text("lists", "ILSVRC2012_val_00000293 n01440764 1\n");
    seed_text("lists", "x.jpg 10\n");
    seed_text("lists", "0\nn01440764\ngoldfish\nt_shirt_top\ncrane\n");
    seed_text("lists", "\xef\xbb\xbf"
                       "file_name,label\r\nx.jpg,3\r\n\"a \"\"b\"\".jpg\" , T-shirt/top\r\n");
    seed_text("lists",
              "ImageId,PredictionString\nx,n01440764 85 1 499 272 n01440764 1 2 3 4\ny,n01443537 0 0 1 1 \n");
    seed_text("lists", "path,class,top1\nval/x.jpg,3,4\nval/a/x,2,2");
    seed_text("lists", "1\n2\n10\n");
    blob zeros = {0};
    blob_add(&zeros, "x.jpg 3\0y.jpg 4", 16);
    seed("lists", zeros);
    seed_text("labels", "{\"0\": [\"n01440764\", \"tench\"], \"1\": [\"n01443537\", \"goldfish\"]}");
    seed_text("labels", "\xef\xbb\xbf"
                        "n01440764 tench, Tinca tinca\r\nn01443537 goldfish");
    seed_text("labels", "10\n02\n5\n");
    seed_text("real_labels", "[[5, 7], [], [9]]");
    seed_text("real_labels", "[[0]]");
}

/* As the target `folder` has them: of classes by name, by number, in order, and what may be wrong with those.
 */
static void seed_folders(void)
{
    seed_text("folder",
              "n01440764/a.JPEG\t\xff\xd8\xff\nn01443537/b\t\x89PNG\r\nn01443537/README\ttext\nn01484850/");
    seed_text("folder", "coat/a.png\tx\nCoat/b.png\ny");
    seed_text("folder", "crane/a.png\tx\nbag/b.png\ty");
    seed_text("folder", "a.png\tx\n.hidden/b.png\tx\n.c.png\nd.png\t->nowhere");
    seed_text("folder", "bag/a.png\tx\nbag/loop\t->.");
    seed_text("folder",
              "0/a.png\n1/a.png\n2/a.png\n3/a.png\n4/a.png\n5/a.png\n6/a.png\n7/a.png\n8/a.png\n9/a.png\tx");
    seed_text("folder",
              "1/a.png\n2/a.png\n3/a.png\n4/a.png\n5/a.png\n6/a.png\n7/a.png\n8/a.png\n9/a.png\n10/a.png\tx");
    seed_text(
        "folder",
        "n01440764_1.png\tx\nval_n01443537.png\tx\n__MACOSX/a.png\tx\nlost+found/\ncoat/\t->bag\nbag/a.png");
    seed_text("folder", "a/\nb/\nc/\nd/\ne/\nf/\ng/\nh/\ni/\nj/x.jpg");
}

/* Files that are no tars. */
static void seed_others(void)
{
    static const char *const begin[] = {"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd\x37zXZ",
                                        "BZh",      "\xff\xd8\xff",     "\x89PNG"};
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++)
        seed_text("tar", begin[i]);
}

void seed_data_sets(void)
{
    seed_tars();
    seed_others();
    seed_idx();
    seed_lists();
    seed_folders();
}
