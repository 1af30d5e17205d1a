// The inner loops: a tile of activations times a panel of weights, by VNNI's products of four bytes.

#include "products_panel.h"

#ifdef EDGEMED_HAS_KERNELS
#include <cstring>

#include "intrinsics.h"

namespace edgemed::products {
namespace {

EDGEMED_AVX512_INLINE __m512i broadcast(const void * four_bytes) {
    int32_t value;
    std::memcpy(&value, four_bytes, sizeof value);
    return _mm512_set1_epi32(value);
}

// part[t] += sum over 4 * Groups columns of code * code.
template <int Rows, int Groups> EDGEMED_AVX512_INLINE void add_columns(__m512i * part, const Panel & panel, const Tile & tile, int group) {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; g++) {
        const __m512i weights = _mm512_load_si512(panel.code[group + g]);
#pragma GCC unroll 16
        for (int t = 0; t < Rows; t++) part[t] = _mm512_dpbusd_epi32(part[t], weights, broadcast(tile.code[t] + 4 * (group + g)));
    }
}

// One scale for each `Columns` columns, in integers; then one product in floats, rounded as ggml's tiled products round.
// Shift: what was added to codes times two to that power; negative where the type has minima of its own instead.
template <int Rows, int Columns, int Pairs, int Shift, bool Started> EDGEMED_AVX512 void scaled(const Panel & panel, const Tile & tile, Lanes * sums) {
    __m512i whole[Rows];
#pragma GCC unroll 16
    for (int t = 0; t < Rows; t++) whole[t] = Started ? _mm512_set1_epi32(tile.start[t][0]) : _mm512_setzero_si512();
    if constexpr (Columns == kColumns) {
        add_columns<Rows, kColumns / 4>(whole, panel, tile, 0);
    } else {
        for (int s = 0; s < kColumns / Columns; s++) {
            __m512i part[Rows];
#pragma GCC unroll 16
            for (int t = 0; t < Rows; t++) part[t] = _mm512_setzero_si512();
            add_columns<Rows, Columns / 4>(part, panel, tile, s * (Columns / 4));
            const __m512i scale = _mm512_load_si512(panel.scale[s]);
#pragma GCC unroll 16
            for (int t = 0; t < Rows; t++) whole[t] = _mm512_add_epi32(whole[t], _mm512_mullo_epi32(part[t], scale));
        }
    }
    const __m512 d = _mm512_load_ps(panel.d[0]);
#pragma GCC unroll 16
    for (int t = 0; t < Rows; t++) {
        __m512i offset = _mm512_setzero_si512();
        if constexpr (Pairs > 0) {
            const int16_t * of_codes = Pairs == 8 ? tile.sum16[t] : tile.sum32[t];
#pragma GCC unroll 8
            for (int p = 0; p < Pairs; p++) offset = _mm512_dpwssd_epi32(offset, _mm512_load_si512(panel.offset[p]), broadcast(of_codes + 2 * p));
            if constexpr (Shift >= 0) whole[t] = _mm512_sub_epi32(whole[t], _mm512_slli_epi32(offset, Shift));
        }
        __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(whole[t]), d);
        if constexpr (Pairs > 0 && Shift < 0) value = _mm512_fnmadd_ps(_mm512_load_ps(panel.d_offset), _mm512_cvtepi32_ps(offset), value);
        _mm512_store_ps(sums[t].value, _mm512_fmadd_ps(value, _mm512_set1_ps(tile.d[t][0]), _mm512_load_ps(sums[t].value)));
    }
}

// Both sides have a float for each 32 columns.
template <int Rows> EDGEMED_AVX512 void in_floats(const Panel & panel, const Tile & tile, Lanes * sums) {
    __m512 whole[Rows];
#pragma GCC unroll 16
    for (int t = 0; t < Rows; t++) whole[t] = _mm512_load_ps(sums[t].value);
    for (int s = 0; s < kColumns / 32; s++) {
        __m512i part[Rows];
#pragma GCC unroll 16
        for (int t = 0; t < Rows; t++) part[t] = _mm512_set1_epi32(tile.start[t][s]);
        add_columns<Rows, 8>(part, panel, tile, 8 * s);
        const __m512 d = _mm512_load_ps(panel.d[s]);
#pragma GCC unroll 16
        for (int t = 0; t < Rows; t++)
            whole[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(part[t]), _mm512_mul_ps(d, _mm512_set1_ps(tile.d[t][s])), whole[t]);
    }
#pragma GCC unroll 16
    for (int t = 0; t < Rows; t++) _mm512_store_ps(sums[t].value, whole[t]);
}

template <Sum S, int Rows> EDGEMED_AVX512 void rows_of(const Panel & panel, const Tile & tile, Lanes * sums) {
    if constexpr (S == Sum::k16Shifted5) scaled<Rows, 16, 8, 5, false>(panel, tile, sums);
    if constexpr (S == Sum::k16Shifted7) scaled<Rows, 16, 8, 7, false>(panel, tile, sums);
    if constexpr (S == Sum::k32Shifted7) scaled<Rows, 32, 4, 7, false>(panel, tile, sums);
    if constexpr (S == Sum::k32) scaled<Rows, 32, 4, -1, false>(panel, tile, sums);
    if constexpr (S == Sum::kWhole) scaled<Rows, kColumns, 8, -1, false>(panel, tile, sums);
    if constexpr (S == Sum::kWholeStarted) scaled<Rows, kColumns, 0, -1, true>(panel, tile, sums);
    if constexpr (S == Sum::kFloat32) in_floats<Rows>(panel, tile, sums);
}

template <Sum S> void any_rows(const Panel & panel, const Tile & tile, int rows, Lanes * sums) {
    switch (rows) {
        case 1: return rows_of<S, 1>(panel, tile, sums);
        case 2: return rows_of<S, 2>(panel, tile, sums);
        case 3: return rows_of<S, 3>(panel, tile, sums);
        case 4: return rows_of<S, 4>(panel, tile, sums);
        case 5: return rows_of<S, 5>(panel, tile, sums);
        case 6: return rows_of<S, 6>(panel, tile, sums);
        case 7: return rows_of<S, 7>(panel, tile, sums);
        case 8: return rows_of<S, 8>(panel, tile, sums);
        case 9: return rows_of<S, 9>(panel, tile, sums);
        case 10: return rows_of<S, 10>(panel, tile, sums);
        case 11: return rows_of<S, 11>(panel, tile, sums);
        default: return rows_of<S, 12>(panel, tile, sums);
    }
}

}  // namespace

Multiply multiply_by(Sum sum) {
    switch (sum) {
        case Sum::k16Shifted5: return any_rows<Sum::k16Shifted5>;
        case Sum::k16Shifted7: return any_rows<Sum::k16Shifted7>;
        case Sum::k32Shifted7: return any_rows<Sum::k32Shifted7>;
        case Sum::k32: return any_rows<Sum::k32>;
        case Sum::kWhole: return any_rows<Sum::kWhole>;
        case Sum::kWholeStarted: return any_rows<Sum::kWholeStarted>;
        default: return any_rows<Sum::kFloat32>;
    }
}

}  // namespace edgemed::products
#endif
