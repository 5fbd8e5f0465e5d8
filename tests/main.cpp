// The main function of the test program; the tests stand in the folders named after the library's.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
