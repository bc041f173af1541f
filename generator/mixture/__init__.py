"""What is mixed with a net's probabilities: the pages seen, what followed them in training, what is popular.

p ∝ repeat^[seen] · (softmax(z + trend) + Σ_k a_k · share_k) + a_seen · c

c is a conditional logit over the items among the pages seen, share_k what followed the k-th newest page, and last
what is popular, which follows page 0; the a depend on how many pages there are. All is counted or fitted once the net
is trained: nothing here needs its gradient.
"""
