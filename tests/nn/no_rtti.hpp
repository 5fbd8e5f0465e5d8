#pragma once

#include <memory>
#include <string>

#include <chainrule/nn/module.hpp>

namespace chainrule {

// What a program that is compiled with -fno-rtti makes of the library.

/// A module of 2 (x + shift), with a parameter "shift" [0.5] and a child "inner", Linear(1, 1).
std::unique_ptr<nn::Module> doubled();
/// The text of the ShapeError that such a program catches from Linear(3, 2), module 1 of a
/// Sequential.
std::string message_of_wrong_features();

}  // namespace chainrule
