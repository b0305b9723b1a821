"""What has weights: blocks and the U-Net. Knows no schedule, no data, no prediction."""
