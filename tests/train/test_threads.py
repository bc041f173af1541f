"""How many threads a net is trained on: by its size alone."""

from generator.train.graphs import threads_for


def test_a_small_net_gets_one_thread_and_a_large_one_all():
    hidden = {"hidden1_recurrent_weight": (64, 64), "hidden2_input_weight": (64, 64), "page_embedding": (2001, 64)}
    # 64 rows · 3 · (4 columns · 2 · 64² + 501 · 64) = 12 million products; the table is only looked up.
    assert threads_for(hidden | {"output_rnn_weight": (501, 64)}, 64, 4, every=False) == 1
    # 64 · 3 · (.03 + .51 million) = 105 million.
    assert threads_for(hidden | {"output_rnn_weight": (8001, 64)}, 64, 4, every=False) == 0
    # The output read at each of 4 states, and a tied one: 64 · 3 · 4 · .13 million = 98 million.
    assert threads_for(hidden, 64, 4, every=True) == 0
    assert threads_for(hidden, 64, 4, every=False) == 1
