// The main function of the test program; the tests stand in the folders named after the library's.
// Both, as the second alone does nothing where the header was precompiled.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
