#pragma once

// What most files of the library include, precompiled with -Dprecompiled=true alone: all other
// builds show whether each file includes what it needs.

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include <chainrule/core/call.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/tensor.hpp>
