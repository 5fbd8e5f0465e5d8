#pragma once

/// What one core can do at most: multiply-adds on registers alone.
namespace floors {

/// The instruction set that the build may use: "AVX-512".
const char* peak_instructions();

/// Floating-point operations in a second, two for each multiply-add, measured for some
/// milliseconds: the median of several samples by the processor time of this thread. T is float or
/// double.
template <class T>
double peak_flops();

}  // namespace floors
