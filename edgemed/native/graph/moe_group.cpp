// A group of experts of one layer and all their tokens, by own kernels. Threads claim panels of 16 matrix rows: first
// of gate and up, then rows of hidden values, then panels of down. One thread adds a panel of down of all experts, in
// their order, so that the sums do not depend on the threads.

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "moe_pass.h"
#include "matmul/row_matmul.h"
#include "vector_math.h"

namespace edgemed {
namespace {

using matmul::ChunkClaimer;
using matmul::kLanes;
using matmul::Lanes;

matmul::Tiles & for_kernel(matmul::Tiles * of_kinds, const matmul::GemmKernel & kernel) {
    return of_kinds[kernel.in_floats ? 1 : 0];
}

// 16 rows of a matrix times an expert's activations: several rows as tiles, a single one as row `row` of `x`. A single
// row is multiplied exactly as a single token's (moe_token.cpp), with the same rounding.
void multiply_panel(const matmul::GemmKernel & kernel, const uint8_t * weights, int64_t columns, const Activations & x,
                    int row, const matmul::Tile * tiles, int rows, Lanes * sums, const uint8_t * next) {
    if (rows > 1) matmul::gemm(kernel, weights, columns, tiles, rows, sums, next);
    else RowMatmul(kernel.type, columns, x, row).multiply(weights, kLanes, sums[0].value);
}

}  // namespace

void MoePass::add_member(const MoeLayer & layer, const RoutedExpert & routed, const uint8_t * data) {
    const Expert & expert = store_.expert(layer.moe_layer, routed.expert);
    Member member{&routed, data, {}, group_rows_, group_tiles_};
    for (int p = 0; p < kProjections; p++)
        member.kernel[p] = matmul::find_gemm(expert.type[p], p == kDown ? layer.n_ff : layer.n_embd,
                                             p == kDown ? layer.n_embd : layer.n_ff);
    group_.push_back(member);
    group_rows_ += routed.count;
    group_tiles_ += matmul::Tiles::count(routed.count);
}

bool MoePass::multiply_group(const MoeLayer & layer) {
    const int64_t n_embd = layer.n_embd, n_ff = layer.n_ff, members = static_cast<int64_t>(group_.size());
    const int64_t panels = n_ff / kLanes, out_panels = n_embd / kLanes;
    const size_t wide = static_cast<size_t>(group_rows_) * static_cast<size_t>(n_ff);
    hidden_.start(n_ff, group_rows_);
    int max_rows = 0;
    for (const Member & member : group_) {
        const Expert & expert = store_.expert(layer.moe_layer, member.routed->expert);
        hidden_.want(expert.type[kDown], member.routed->count == 1);
        for (Projection p : {kGate, kUp}) for_kernel(input_tiles_, *member.kernel[p]).start(n_embd, group_tiles_);
        for_kernel(hidden_tiles_, *member.kernel[kDown]).start(n_ff, group_tiles_);
        max_rows = std::max(max_rows, member.routed->count);
    }
    for (std::vector<float> * scratch : {&gate_, &up_})
        if (scratch->size() < wide) scratch->resize(wide);
    if (observed_ && out_.size() < static_cast<size_t>(group_rows_ * n_embd))
        out_.resize(static_cast<size_t>(group_rows_ * n_embd));
    sums_.resize(static_cast<size_t>(threads_));
    for (std::vector<Lanes> & sums : sums_)
        if (sums.size() < static_cast<size_t>(max_rows)) sums.resize(static_cast<size_t>(max_rows));
    // The member of each row of the group.
    member_of_.clear();
    for (size_t m = 0; m < group_.size(); m++)
        member_of_.insert(member_of_.end(), static_cast<size_t>(group_[m].routed->count), static_cast<int>(m));
    std::atomic<int64_t> next_hidden{0}, next_out{0};

#pragma omp parallel num_threads(threads_)
    {
        Lanes * const sums = sums_[static_cast<size_t>(omp_get_thread_num())].data();
        // The input of each row of the group, as tiles of gate's and up's kernels.
#pragma omp for
        for (int row = 0; row < group_rows_; row++) {
            const Member & member = group_[static_cast<size_t>(member_of_[static_cast<size_t>(row)])];
            const Expert & expert = store_.expert(layer.moe_layer, member.routed->expert);
            const int own = row - member.row, token = order_[static_cast<size_t>(member.routed->first + own)];
            const auto &gate = *member.kernel[kGate], &up = *member.kernel[kUp];
            for_kernel(input_tiles_, gate)
                .put(gate, member.tile, member.routed->count, own, input_.row(expert.type[kGate], token));
            if (&for_kernel(input_tiles_, gate) != &for_kernel(input_tiles_, up))
                for_kernel(input_tiles_, up)
                    .put(up, member.tile, member.routed->count, own, input_.row(expert.type[kUp], token));
        }
        // Panels of gate and up, of all members.
        for (ChunkClaimer claimed(next_hidden, members * panels, threads_); claimed.more() && !store_.aborted();
             claimed.advance())
            multiply_hidden(layer, claimed.now(), claimed.next(), sums);
#pragma omp barrier
        // Hidden values, quantised and as tiles of down's kernel.
#pragma omp for
        for (int row = 0; row < group_rows_; row++) {
            const Member & member = group_[static_cast<size_t>(member_of_[static_cast<size_t>(row)])];
            const Expert & expert = store_.expert(layer.moe_layer, member.routed->expert);
            float * hidden = gate_.data() + row * n_ff;
            swiglu(hidden, up_.data() + row * n_ff, hidden, n_ff);
            for (int w = 0; w < hidden_.wanted(); w++) hidden_.quantise(w, row, hidden, member.routed->count == 1);
            const auto & down = *member.kernel[kDown];
            for_kernel(hidden_tiles_, down)
                .put(down, member.tile, member.routed->count, row - member.row, hidden_.row(expert.type[kDown], row));
        }
        // Panels of down. The thread that claims one adds it up over all members.
        for (ChunkClaimer claimed(next_out, out_panels, threads_); claimed.more() && !store_.aborted();
             claimed.advance())
            for (const Member & member : group_) multiply_out(layer, member, claimed.now(), claimed.next(), sums);
    }
    if (store_.aborted()) return false;
    if (observed_) observe_group(layer);
    return true;
}

const uint8_t * MoePass::panel_at(const MoeLayer & layer, const Member & member, Projection p, int64_t panel) const {
    const uint8_t * matrix = member.data + store_.expert(layer.moe_layer, member.routed->expert).offset_in_slot[p];
    return matmul::panel_at(*member.kernel[p], matrix, p == kDown ? layer.n_ff : layer.n_embd, panel);
}

// One panel of gate and of up: number `index`, counted through all members of the group. `next` is prefetched from
// memory.
void MoePass::multiply_hidden(const MoeLayer & layer, int64_t index, int64_t next, Lanes * sums) {
    const int64_t panels = layer.n_ff / kLanes, panel = index % panels;
    const Member & member = group_[static_cast<size_t>(index / panels)];
    const RoutedExpert & routed = *member.routed;
    const int token = order_[static_cast<size_t>(routed.first)];
    const size_t after = static_cast<size_t>(next / panels);
    for (Projection p : {kGate, kUp}) {
        multiply_panel(*member.kernel[p], panel_at(layer, member, p, panel), layer.n_embd, input_, token,
                       for_kernel(input_tiles_, *member.kernel[p]).at(member.tile), routed.count, sums,
                       after < group_.size() ? panel_at(layer, group_[after], p, next % panels) : nullptr);
        float * to = (p == kGate ? gate_ : up_).data() + member.row * layer.n_ff + panel * kLanes;
        for (int r = 0; r < routed.count; r++) std::memcpy(to + r * layer.n_ff, sums[r].value, sizeof sums[r].value);
    }
}

// One panel of down for one member; adds weight * output to 16 columns of the result.
void MoePass::multiply_out(const MoeLayer & layer, const Member & member, int64_t panel, int64_t next, Lanes * sums) {
    const RoutedExpert & routed = *member.routed;
    const auto result = [&](int r) {
        const int token = order_[static_cast<size_t>(routed.first + r)];
        return reinterpret_cast<float *>(static_cast<char *>(layer.y->data) +
                                         static_cast<size_t>(token) * layer.y->nb[1]) +
               panel * kLanes;
    };
    for (int r = 0; r < routed.count; r++) __builtin_prefetch(result(r), 1);  // rows of tokens are far apart
    multiply_panel(*member.kernel[kDown], panel_at(layer, member, kDown, panel), layer.n_ff, hidden_, member.row,
                   for_kernel(hidden_tiles_, *member.kernel[kDown]).at(member.tile), routed.count, sums,
                   next * kLanes < layer.n_embd ? panel_at(layer, member, kDown, next) : nullptr);
    for (int r = 0; r < routed.count; r++) {
        add_scaled(result(r), sums[r].value, weights_[static_cast<size_t>(routed.first + r)], kLanes);
        if (observed_)
            std::copy_n(sums[r].value, kLanes, out_.data() + (member.row + r) * layer.n_embd + panel * kLanes);
    }
}

void MoePass::observe_group(const MoeLayer & layer) {
    const int64_t width = layer.n_embd;
    for (const Member & member : group_) {
        const RoutedExpert & routed = *member.routed;
        h_.resize(std::max(h_.size(), static_cast<size_t>(routed.count * width)));
        for (int r = 0; r < routed.count; r++)
            std::copy_n(x_.data() + width * order_[static_cast<size_t>(routed.first + r)], width,
                        h_.data() + width * r);
        observer_.add(layer.moe_layer, routed.expert, routed.count, h_.data(), gate_.data() + member.row * layer.n_ff,
                      out_.data() + member.row * width, weights_.data() + routed.first);
    }
}

}  // namespace edgemed
