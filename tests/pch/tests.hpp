#pragma once

// What most tests include, precompiled for builds with sanitizers alone: all others show whether
// each test includes what it needs.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chainrule/chainrule.hpp>
