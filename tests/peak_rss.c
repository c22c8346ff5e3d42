/* peak_rss.c - `peak_rss COMMAND …` runs it and prints the most memory that it had at once, in KiB. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status;
    struct rusage used;
    pid_t child = fork();
    if (argc < 2 || child < 0)
        return 2;
    if (!child) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    if (wait4(child, &status, 0, &used) < 0 || !WIFEXITED(status))
        return 2;
    printf("%ld\n", used.ru_maxrss);
    return WEXITSTATUS(status);
}
