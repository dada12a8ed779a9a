/* Rules in, a listing out. To build it: cc hello.c $(pkg-config --cflags --libs lvs) -o hello */
#include <lvs.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    static const char rules[] = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.0.0.101:8080 -m\n";
    lvs_director *director;
    char listing[1000];

    if (lvs_director_new(NULL, &director) != LVS_OK)
        return 1;
    if (lvs_director_load(director, rules, strlen(rules), NULL, NULL) == LVS_OK
        && lvs_director_run(director, "-L -n", 5, listing, sizeof listing, NULL) == LVS_OK)
        fputs(listing, stdout);
    lvs_director_free(director);
    return 0;
}
