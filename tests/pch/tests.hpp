#pragma once

// What most tests include, precompiled with -Dprecompiled=true alone: all other builds show whether
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
