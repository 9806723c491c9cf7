/* Threads that wait for each other sleep rather than spin: on a machine that does other work, too, spinning made training up to ten
 * times slower. The OpenMP runtime reads its policy before main, so the program sets it and starts itself again, once.
 * A user who set an OpenMP policy keeps it. Returns when nothing is to be done or it cannot be done. */
#ifndef CLI_WAITING_H
#define CLI_WAITING_H

void wait_asleep(char **argv);

#endif
