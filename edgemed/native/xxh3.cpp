#include "xxh3.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace edgemed {
namespace {

constexpr uint64_t kPrime32_1 = 0x9E3779B1U, kPrime64_1 = 0x9E3779B185EBCA87ULL, kPrime64_2 = 0xC2B2AE3D27D4EB4FULL,
                   kPrime64_3 = 0x165667B19E3779F9ULL, kPrimeMx1 = 0x165667919E3779F9ULL,
                   kPrimeMx2 = 0x9FB21C651E98DF25ULL;
constexpr size_t kStripe = 64, kStripesPerBlock = 16, kMidLength = 240;

// clang-format off
constexpr uint8_t kSecret[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};
// clang-format on

template <typename T> T load(const uint8_t * at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
uint64_t u64(const uint8_t * at) { return load<uint64_t>(at); }
uint64_t u32(const uint8_t * at) { return load<uint32_t>(at); }
uint64_t rotl(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ using wide = unsigned __int128;
    const wide product = static_cast<wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t avalanche(uint64_t h) {
    h = (h ^ h >> 37) * kPrimeMx1;
    return h ^ h >> 32;
}

uint64_t avalanche_xxh64(uint64_t h) {
    h = (h ^ h >> 33) * kPrime64_2;
    h = (h ^ h >> 29) * kPrime64_3;
    return h ^ h >> 32;
}

uint64_t mix16(const uint8_t * in, const uint8_t * secret) {
    return fold(u64(in) ^ u64(secret), u64(in + 8) ^ u64(secret + 8));
}

uint64_t hash_up_to_16(const uint8_t * in, size_t size) {
    if (size > 8) {
        const uint64_t low = u64(in) ^ (u64(kSecret + 24) ^ u64(kSecret + 32));
        const uint64_t high = u64(in + size - 8) ^ (u64(kSecret + 40) ^ u64(kSecret + 48));
        return avalanche(size + __builtin_bswap64(low) + high + fold(low, high));
    }
    if (size >= 4) {
        uint64_t h = (u32(in + size - 4) + (u32(in) << 32)) ^ (u64(kSecret + 8) ^ u64(kSecret + 16));
        h = (h ^ rotl(h, 49) ^ rotl(h, 24)) * kPrimeMx2;
        h = (h ^ ((h >> 35) + size)) * kPrimeMx2;
        return h ^ h >> 28;
    }
    if (size > 0) {
        const uint64_t mixed = static_cast<uint64_t>(in[0]) << 16 | static_cast<uint64_t>(in[size >> 1]) << 24 |
                               in[size - 1] | static_cast<uint64_t>(size) << 8;
        return avalanche_xxh64(mixed ^ (u32(kSecret) ^ u32(kSecret + 4)));
    }
    return avalanche_xxh64(u64(kSecret + 56) ^ u64(kSecret + 64));
}

// 17 to 240 bytes; the specification counts 17 to 128 and 129 to 240 separately.
uint64_t hash_up_to_240(const uint8_t * in, size_t size) {
    uint64_t h = size * kPrime64_1;
    if (size <= 128) {
        for (size_t pair = (size - 1) / 32 + 1; pair-- > 0;) {
            h += mix16(in + 16 * pair, kSecret + 32 * pair);
            h += mix16(in + size - 16 * (pair + 1), kSecret + 32 * pair + 16);
        }
        return avalanche(h);
    }
    for (size_t i = 0; i < 8; i++) h += mix16(in + 16 * i, kSecret + 16 * i);
    h = avalanche(h);
    for (size_t i = 8; i < size / 16; i++) h += mix16(in + 16 * i, kSecret + 16 * (i - 8) + 3);
    return avalanche(h + mix16(in + size - 16, kSecret + 136 - 17));
}

// Adds one stripe of 64 bytes to the eight accumulators.
void accumulate_plain(uint64_t * acc, const uint8_t * in, const uint8_t * secret) {
    for (size_t lane = 0; lane < 8; lane++) {
        const uint64_t value = u64(in + 8 * lane), key = value ^ u64(secret + 8 * lane);
        acc[lane ^ 1] += value;
        acc[lane] += (key & 0xFFFFFFFFU) * (key >> 32);
    }
}

void stripes_plain(uint64_t * acc, const uint8_t * in, const uint8_t * secret, size_t count) {
    for (size_t i = 0; i < count; i++) accumulate_plain(acc, in + kStripe * i, secret + 8 * i);
}

#if defined(__x86_64__)
// The same for `count` stripes, four lanes at a time. The secret advances by 8 bytes for each stripe.
__attribute__((target("avx2"))) void stripes_avx2(uint64_t * acc, const uint8_t * in, const uint8_t * secret,
                                                  size_t count) {
    auto * out = reinterpret_cast<__m256i *>(acc);
    __m256i sum[2] = {_mm256_loadu_si256(out), _mm256_loadu_si256(out + 1)};
    for (size_t i = 0; i < count; i++, in += kStripe, secret += 8) {
        for (size_t half = 0; half < 2; half++) {
            const __m256i value = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(in) + half);
            const __m256i key =
                _mm256_xor_si256(value, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(secret) + half));
            const __m256i product = _mm256_mul_epu32(key, _mm256_srli_epi64(key, 32));
            const __m256i swapped = _mm256_shuffle_epi32(value, _MM_SHUFFLE(1, 0, 3, 2));
            sum[half] = _mm256_add_epi64(sum[half], _mm256_add_epi64(product, swapped));
        }
    }
    _mm256_storeu_si256(out, sum[0]);
    _mm256_storeu_si256(out + 1, sum[1]);
}

void stripes(uint64_t * acc, const uint8_t * in, const uint8_t * secret, size_t count) {
    static const bool avx2 = __builtin_cpu_supports("avx2");
    (avx2 ? stripes_avx2 : stripes_plain)(acc, in, secret, count);
}
#else
void stripes(uint64_t * acc, const uint8_t * in, const uint8_t * secret, size_t count) {
    stripes_plain(acc, in, secret, count);
}
#endif

}  // namespace

// Consumes whole stripes, but never the input's last one: the caller keeps at least one byte.
void Xxh3::consume(const uint8_t * data, size_t count) {
    while (count > 0) {
        const size_t now = std::min(count, kStripesPerBlock - stripe_);
        stripes(acc_, data, kSecret + 8 * stripe_, now);
        data += kStripe * now;
        count -= now;
        stripe_ += now;
        // Scramble at the end of a block.
        if (stripe_ == kStripesPerBlock) {
            for (size_t lane = 0; lane < 8; lane++)
                acc_[lane] = (acc_[lane] ^ acc_[lane] >> 47 ^ u64(kSecret + 128 + 8 * lane)) * kPrime32_1;
            stripe_ = 0;
        }
    }
    std::memcpy(last_stripe_, data - kStripe, kStripe);
}

void Xxh3::update(const void * data, size_t size) {
    auto * in = static_cast<const uint8_t *>(data);
    total_ += size;
    if (pending_ + size <= kBuffered) {
        std::memcpy(buffer_ + pending_, in, size);
        pending_ += size;
        return;
    }
    if (pending_ > 0) {
        const size_t fill = kBuffered - pending_;
        std::memcpy(buffer_ + pending_, in, fill);
        in += fill;
        size -= fill;
        consume(buffer_, kBuffered / kStripe);
    }
    // Keep between 1 and kStripe bytes back for digest().
    if (size > kStripe) {
        const size_t count = (size - 1) / kStripe;
        consume(in, count);
        in += kStripe * count;
        size -= kStripe * count;
    }
    std::memcpy(buffer_, in, size);
    pending_ = size;
}

uint64_t Xxh3::digest() const {
    if (total_ <= 16) return hash_up_to_16(buffer_, total_);
    if (total_ <= kMidLength) return hash_up_to_240(buffer_, total_);

    Xxh3 rest = *this;
    const size_t whole = (pending_ - 1) / kStripe;
    if (whole > 0) rest.consume(rest.buffer_, whole);

    // The last 64 bytes, some of which may have been consumed already.
    uint8_t tail[kStripe];
    const size_t fresh = std::min(pending_, kStripe);
    std::memcpy(tail, last_stripe_ + fresh, kStripe - fresh);
    std::memcpy(tail + kStripe - fresh, buffer_ + pending_ - fresh, fresh);
    stripes(rest.acc_, tail, kSecret + sizeof kSecret - kStripe - 7, 1);

    uint64_t h = total_ * kPrime64_1;
    for (size_t i = 0; i < 4; i++)
        h += fold(rest.acc_[2 * i] ^ u64(kSecret + 11 + 16 * i), rest.acc_[2 * i + 1] ^ u64(kSecret + 19 + 16 * i));
    return avalanche(h);
}

uint64_t xxh3_64(const void * data, size_t size) {
    Xxh3 hash;
    hash.update(data, size);
    return hash.digest();
}

}  // namespace edgemed
