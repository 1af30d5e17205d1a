#include "attention.h"

#include "attention_kernels.h"
#include "instructions.h"

namespace edgemed {

bool is_attention(const ggml::Tensor * node) {
#ifdef EDGEMED_HAS_KERNELS
    if (node->op != ggml::kFlashAttention) return false;
    const ggml::Tensor *q = node->src[0], *k = node->src[1], *v = node->src[2], *mask = node->src[3];
    const auto cached = [](const ggml::Tensor * t) {
        const ggml::Tensor * owner = t->view_src != nullptr ? t->view_src : t;
        return t->type == ggml::kF16 && t->nb[0] == sizeof(uint16_t) && owner->buffer != nullptr &&
               owner->buffer->buft == ggml::api().cpu_buffer_type();
    };
    return instructions() >= Instructions::kAvx2 && q->type == ggml::kF32 && q->nb[0] == sizeof(float) &&
           q->ne[3] == 1 && (q->ne[0] == 64 || q->ne[0] == 128) && cached(k) && cached(v) && k->ne[0] == q->ne[0] &&
           v->ne[0] == q->ne[0] && v->ne[1] == k->ne[1] && k->ne[2] == v->ne[2] && k->ne[3] == 1 && v->ne[3] == 1 &&
           q->ne[2] % k->ne[2] == 0 &&
           (mask == nullptr || (mask->type == ggml::kF16 && mask->nb[0] == sizeof(uint16_t) &&
                                mask->ne[1] >= q->ne[1] && mask->ne[2] == 1 && mask->ne[3] == 1)) &&
           node->src[4] == nullptr && attention::parameter(node, 1) == 0 &&
           attention::parameter(node, 2) == 0;  // attention sinks, ALiBi, soft cap
#else
    (void)node;
    return false;
#endif
}

}  // namespace edgemed
