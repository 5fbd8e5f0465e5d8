#include <chainrule/bench/floors/products.hpp>

#include <Eigen/Core>
#include <string>

#ifdef BENCH_ONEDNN
#include <dnnl.h>
#include <omp.h>
#endif

namespace floors {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Constant = Eigen::Map<const Matrix>;
using Row = Eigen::Map<const Eigen::RowVectorXf>;
using Column = Eigen::Map<const Eigen::VectorXf>;

template <class Product>
void put(const Product& product, float scale, bool add, Eigen::Map<Matrix>& c) {
  if (add)
    c.noalias() += scale * product;
  else if (scale == 1)
    c.noalias() = product;
  else
    c.noalias() = scale * product;
}

// The loop that a compiler vectorises; on small ones Eigen takes two to three times as long.
void outer_product(int m, int n, float scale, const float* a, const float* __restrict b,
                   float* __restrict c, bool add) {
  for (int i = 0; i < m; ++i, c += n) {
    const float factor = scale * a[i];
    if (add)
      for (int j = 0; j < n; ++j) c[j] += factor * b[j];
    else
      for (int j = 0; j < n; ++j) c[j] = factor * b[j];
  }
}

void multiply_with_eigen(Form form, int m, int n, int k, const float* a, const float* b, float* to,
                         float scale, bool add) {
  Eigen::Map<Matrix> c(to, m, n);
  if (k == 1) {
    outer_product(m, n, scale, a, b, to, add);
    return;
  }
  // Vectors are said to be vectors: Eigen has ways of its own for them.
  if (m == 1 && form == Form::nn) {
    Eigen::Map<Eigen::RowVectorXf> row(to, n);
    if (!add) row.setZero();
    row.noalias() += scale * Row(a, k) * Constant(b, k, n);
  } else if (m == 1 && form == Form::nt) {
    Eigen::Map<Eigen::VectorXf> column(to, n);
    if (!add) column.setZero();
    column.noalias() += scale * Constant(b, n, k) * Column(a, k);
  } else if (form == Form::nn) {
    put(Constant(a, m, k) * Constant(b, k, n), scale, add, c);
  } else if (form == Form::tn) {
    put(Constant(a, k, m).transpose() * Constant(b, k, n), scale, add, c);
  } else {
    put(Constant(a, m, k) * Constant(b, n, k).transpose(), scale, add, c);
  }
}

#ifdef BENCH_ONEDNN
void multiply_with_onednn(Form form, int m, int n, int k, const float* a, const float* b, float* c,
                          float scale, bool add) {
  // The pool is of this thread alone while the product lasts.
  const int threads = omp_get_max_threads();
  if (threads != 1) omp_set_num_threads(1);
  const bool at = form == Form::tn, bt = form == Form::nt;
  dnnl_sgemm(at ? 'T' : 'N', bt ? 'T' : 'N', m, n, k, scale, a, at ? m : k, b, bt ? k : n,
             add ? 1.0F : 0.0F, c, n);
  if (threads != 1) omp_set_num_threads(threads);
}
#endif

}  // namespace

bool has_onednn() {
#ifdef BENCH_ONEDNN
  return true;
#else
  return false;
#endif
}

const char* name_of(Engine engine) {
  static const std::string eigen = "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." +
                                   std::to_string(EIGEN_MAJOR_VERSION) + "." +
                                   std::to_string(EIGEN_MINOR_VERSION);
#ifdef BENCH_ONEDNN
  static const dnnl_version_t* version = dnnl_version();
  static const std::string onednn = "oneDNN " + std::to_string(version->major) + "." +
                                    std::to_string(version->minor) + "." +
                                    std::to_string(version->patch);
  if (engine == Engine::onednn) return onednn.c_str();
#endif
  return eigen.c_str();
}

void multiply(Engine engine, Form form, int m, int n, int k, const float* a, const float* b,
              float* c, float scale, bool add) {
#ifdef BENCH_ONEDNN
  if (engine == Engine::onednn) return multiply_with_onednn(form, m, n, k, a, b, c, scale, add);
#endif
  multiply_with_eigen(form, m, n, k, a, b, c, scale, add);
}

}  // namespace floors
