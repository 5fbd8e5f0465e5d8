// Exercises: derivations with blanks, made from programs by one call each, in the terminal and as
// pages that need no server.

#include <iostream>

#include <chainrule/examples/exercises/program.hpp>

int main(int argc, char** argv) {
  return exercises::run(argc, argv, std::cin, std::cout, std::cerr);
}
