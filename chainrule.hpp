#pragma once

/// The umbrella: all of chainrule but core/eigen.hpp, which needs Eigen's headers.

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/print.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/core/recording.hpp>
#include <chainrule/core/tensor.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/dot.hpp>
#include <chainrule/graph/functional.hpp>
#include <chainrule/graph/gradcheck.hpp>
#include <chainrule/ops/arithmetic.hpp>
#include <chainrule/ops/manipulation.hpp>
#include <chainrule/ops/matmul.hpp>
#include <chainrule/ops/reduction.hpp>

namespace cr = chainrule;
