// The matmul kernels on random bits, with buffers of exactly the needed size: they touch no byte outside (the
// sanitizers watch), and a row's result does not depend on the number of rows.

#include <cstring>

#include "check.h"
#include "instructions.h"
#include "matmul/gemm.h"
#include "matmul/gemv.h"

using namespace edgemed;

namespace {

constexpr int64_t kWide = 512;

std::vector<uint8_t> random_bytes(Random & random, size_t count) {
    std::vector<uint8_t> bytes(count);
    for (uint8_t & byte : bytes) byte = static_cast<uint8_t>(random());
    return bytes;
}

bool same(float one, float other) {
    return (one != one && other != other) || std::memcmp(&one, &other, sizeof one) == 0;
}

void check_type(int type, const matmul::GemmKernel & kernel, Random & random) {
    const int most = 40;
    const bool q8_0 = kernel.in_floats;
    const size_t quantised = q8_0 ? kWide / 32 * 34 : kWide / 256 * 292;
    const size_t stride = kernel.block_bytes * (kWide / 256);
    // Exactly 16 rows of weights, and one row of activations at a time.
    const std::vector<uint8_t> weights = random_bytes(random, stride * matmul::kLanes);
    std::vector<std::vector<uint8_t>> rows;
    for (int i = 0; i < most; i++) rows.push_back(random_bytes(random, quantised));
    std::vector<matmul::Lanes> all(most), some(most);
    const auto run = [&](int from, int count, std::vector<matmul::Lanes> & sums) {
        matmul::Tiles tiles;
        tiles.start(kWide, matmul::Tiles::count(count));
        for (int i = 0; i < count; i++) tiles.put(kernel, 0, count, i, rows[static_cast<size_t>(from + i)].data());
        matmul::gemm(kernel, weights.data(), kWide, tiles.at(0), count, sums.data(), nullptr);
    };
    run(0, most, all);
    for (int count : {1, 2, 7, 11, 12, 13, 25, 39}) {
        const int from = static_cast<int>(below(random, static_cast<uint64_t>(most - count)));
        run(from, count, some);
        for (int i = 0; i < count; i++)
            for (int lane = 0; lane < matmul::kLanes; lane++)
                CHECK(same(all[static_cast<size_t>(from + i)].value[lane], some[static_cast<size_t>(i)].value[lane]));
    }
    CHECK(matmul::find_gemm(type, kWide + 32, 16) == nullptr);
    CHECK(matmul::find_gemm(type, kWide, 24) == nullptr);
}

// Seven rows at once must equal each row alone.
void check_single(const matmul::GemvKernel & kernel, size_t block_bytes, Random & random) {
    const int64_t rows = 7, blocks = kWide / matmul::kColumns;
    const size_t stride = block_bytes * static_cast<size_t>(blocks);
    const std::vector<uint8_t> weights = random_bytes(random, stride * static_cast<size_t>(rows)),
                               quantised = random_bytes(random, kWide / 256 * 292);
    std::vector<matmul::Q8Block> x(static_cast<size_t>(blocks));
    matmul::rearrange(kernel.layout, quantised.data(), kWide, x.data());
    std::vector<float> all(static_cast<size_t>(rows));
    kernel.multiply(weights.data(), blocks, x.data(), rows, all.data());
    for (int64_t row = 0; row < rows; row++) {
        const auto begin = weights.begin() + row * static_cast<int64_t>(stride);
        const std::vector<uint8_t> alone(begin, begin + static_cast<int64_t>(stride));
        float one;
        kernel.multiply(alone.data(), blocks, x.data(), 1, &one);
        CHECK(same(one, all[static_cast<size_t>(row)]));
    }
    kernel.multiply(weights.data(), blocks, x.data(), 0, all.data());
}

}  // namespace

void check_matmul() {
    const Instructions best = instructions();
    for (Instructions which :
         {Instructions::kAvx512, Instructions::kAvxVnni, Instructions::kAvx2, Instructions::kNone}) {
        limit_instructions(which);
        Random random(7);
        int types = 0, singles = 0;
        for (int type = 0; type < 40; type++)
            if (const matmul::GemmKernel * kernel = matmul::find_gemm(type, kWide, matmul::kLanes)) {
                check_type(type, *kernel, random);
                types++;
                if (const matmul::GemvKernel * single = matmul::find_gemv(type, kWide)) {
                    check_single(*single, kernel->block_bytes, random);
                    singles++;
                }
            }
        CHECK(types == (instructions() == Instructions::kNone ? 0 : 14));
        CHECK(instructions() == Instructions::kNone
                  ? singles == 0
                  : singles == 7 || (singles == 11 && instructions() == Instructions::kAvx512));
    }
    limit_instructions(best);
}
