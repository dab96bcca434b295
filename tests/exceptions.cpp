/* SPDX-License-Identifier: MIT */
/* C++ for test_exceptions.c: throws, and catches what went through frames that are not C++. */
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

extern "C" {
int cxx_throw_deep(int depth);
int cxx_catch(int (*call)(int), int argument);
void cxx_throw(int value);
int cxx_read(int fd);
extern int cxx_destroyed;
}

int cxx_destroyed;

namespace
{
struct counted {
    ~counted()
    {
        cxx_destroyed++;
    }
};

int throw_at_the_bottom(int depth)
{
    counted here;
    char byte;

    if (read(-1, &byte, 1) != -1) // a call in every frame
        return -1;
    if (depth == 0)
        throw std::runtime_error("bottom");
    return throw_at_the_bottom(depth - 1) + 1;
}
} // namespace

/* Throws that many frames further down, and catches here; returns how many were left. */
int cxx_throw_deep(int depth)
{
    cxx_destroyed = 0;
    try {
        throw_at_the_bottom(depth);
    } catch (const std::runtime_error &) {
        return cxx_destroyed;
    }
    return -1;
}

void cxx_throw(int value)
{
    throw value;
}

/* What `call` throws; -1 if it throws nothing. */
int cxx_catch(int (*call)(int), int argument)
{
    try {
        counted here;

        call(argument);
    } catch (int value) {
        return value;
    }
    return -1;
}

int cxx_read(int fd)
{
    counted here;
    char byte;

    return (int)read(fd, &byte, 1);
}
