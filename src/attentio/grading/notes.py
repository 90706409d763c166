"""What is told of right code that keeps a convention of its own, and of what was not looked at."""

NOTES = {
    "drop": (
        "your mask means drop (True or 1 is ignored); in attentio and in scaled_dot_product_attention True is kept",
        "마스크의 뜻이 '버림'입니다(True나 1이 무시됨). attentio와 scaled_dot_product_attention에서는 True가 남습니다",
    ),
    "add": (
        "your mask is added to the scores: 0 keeps, -inf drops",
        "마스크를 점수에 더합니다. 0은 남기고 -inf는 버립니다",
    ),
    "no mask": (
        "your code takes no mask, so padding was not looked at",
        "마스크 인자가 없어 패딩은 검사하지 못했습니다",
    ),
    "time first": ("your sequences have time before batch", "시퀀스의 시간 축이 배치 축보다 앞에 있습니다"),
    "no batch": ("your code takes one sequence, without a batch", "배치 없이 시퀀스 하나를 받습니다"),
    "transposed": (
        "your matrices are transposed, for x @ W; the result is the same",
        "행렬이 x @ W에 맞게 전치되어 있습니다. 결과는 같습니다",
    ),
    "concat order": (
        "you concatenate [h; s], the paper [s; h]: the same function, with the columns of W in another order",
        "[h; s] 순서로 잇습니다. 논문은 [s; h]이며, W의 열 순서만 다를 뿐 같은 함수입니다",
    ),
    "bias": (
        "your code has a bias that the paper's equation leaves out; it was counted in",
        "논문의 식에는 없는 편향(bias)이 있습니다. 포함해서 비교했습니다",
    ),
    "more parameters": (
        "your module has parameters for which the paper's equation has no place; the paper's numbers are without them",
        "논문의 식에 자리가 없는 파라미터가 더 있습니다. 논문 쪽 값은 그것 없이 계산했습니다",
    ),
    "float32": (
        "your code only runs in float32, so it was compared to four digits",
        "float32로만 실행되어 네 자리까지 비교했습니다",
    ),
    "overflow": (
        "with very large scores your softmax overflows to NaN; subtract the largest score first",
        "점수가 아주 크면 소프트맥스가 넘쳐 NaN이 됩니다. 먼저 최댓값을 빼십시오",
    ),
    "only square": (
        "your code ran only where some sizes are equal; with different sizes it raised an exception",
        "몇몇 크기가 같을 때만 실행되었습니다. 크기가 다르면 예외가 납니다",
    ),
}
"""By name: the sentence in English and in Korean."""


def told(name: str, language: str) -> str:
    """The sentence in a language."""
    return NOTES[name][language == "ko"]
