/* Folders of classes. Each line of the input is a file of one: its path and, after a tab, what is in it, or
 * "->" and where it leads; a path that ends in "/" is a folder. */
#include "tests/fuzz/data_set.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 24 };

static char root[] = "/dev/shm/fuzz-XXXXXX"; /* in memory: several times as fast as a disk */
static int root_fd = -1;

/* Removes what is in the folder, and at the end the folder. */
static void clear(bool all)
{
    char *roots[] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    fuzz_require(walk, "no memory for a walk");
    for (FTSENT *entry; (entry = fts_read(walk));)
        if (entry->fts_info != FTS_D && (all || entry->fts_level > 0))
            remove(entry->fts_path);
    fts_close(walk);
}

static void leave(void)
{
    clear(true);
}

static void enter(void)
{
    fuzz_require(mkdtemp(root), "no folder for temporary files");
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fuzz_require(root_fd >= 0 && !atexit(leave), "no folder for temporary files");
}

static bool leads_out(const char *path)
{
    return !*path || *path == '/' || strstr(path, "..");
}

static void add_file(char *path)
{
    char *content = strchr(path, '\t');
    if (content)
        *content++ = '\0';
    if (leads_out(path))
        return;
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdirat(root_fd, path, 0700);
        *slash = '/';
    }
    if (content && !strncmp(content, "->", 2)) {
        if (!leads_out(content + 2) && symlinkat(content + 2, root_fd, path))
            return;
    } else {
        int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
        size_t size = content ? strlen(content) : 0;
        fuzz_require(fd < 0 || write(fd, content, size) == (ssize_t)size, "no room for a file");
        if (fd >= 0)
            close(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text;
    fuzz_require(text, "no memory for a copy");
    memcpy(text, data, size);
    text[size] = '\0';
    if (root_fd < 0)
        enter();
    for (size_t i = 0; rest && i < MAX_FILES; i++)
        add_file(strsep(&rest, "\n"));
    fuzz_open_data_set(root, true);
    clear(false);
    free(text);
    return 0;
}
