"""Lines of equations that are written in words, in Korean."""

IN_KOREAN = {
    "sums run over real positions only: e_ij = -inf where j is masked": (
        "실제 위치에 대해서만 합한다: j가 가려졌으면 e_ij = -inf"
    ),
    "position i may attend to j where j <= i + (keys - queries)": (
        "위치 i는 j <= i + (키 수 - 쿼리 수)인 j에만 주목한다"
    ),
    "e_t = W_a h_t, one score for each source position": "e_t = W_a h_t, 원문 위치마다 점수 하나",
    "source positions s with p_t - D <= s <= p_t + D, 2D + 1 of them": (
        "p_t - D <= s <= p_t + D인 원문 위치 s, 모두 2D + 1개"
    ),
    "source positions s with p_t - D <= s <= p_t + D": "p_t - D <= s <= p_t + D인 원문 위치 s",
    "q = query W^Q, k = key W^K, v = value W^V, cut into h heads of d_k features": (
        "q = query W^Q, k = key W^K, v = value W^V, 특징이 d_k개인 헤드 h개로 나눈다"
    ),
    "p_j = max(0, z_j - tau), tau = (sum of z over the support - 1) / its size": (
        "p_j = max(0, z_j - tau), tau = (0이 아닌 자리의 z의 합 - 1) / 그런 자리의 수"
    ),
    "p_j = max(0, z_j / 2 - tau)^2, with tau such that they sum to 1": (
        "p_j = max(0, z_j / 2 - tau)^2, tau는 합이 1이 되는 수"
    ),
    "15 % of the tokens are chosen at random, special ones never": (
        "토큰의 15%를 무작위로 고르고, 특수 토큰은 고르지 않는다"
    ),
    "a chosen token becomes MASK in 80 %, a random word in 10 %, and stays in 10 % of cases": (
        "고른 토큰은 80%는 MASK로, 10%는 무작위 단어로 바꾸고, 10%는 그대로 둔다"
    ),
    "the original token is predicted at the chosen positions only": "고른 위치에서만 원래 토큰을 예측한다",
}
