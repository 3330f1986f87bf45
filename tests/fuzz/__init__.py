"""Bytes from outside, changed at random for as long as one likes, guided by what code they reach."""
