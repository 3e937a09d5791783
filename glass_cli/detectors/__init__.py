"""What is in a picture: detections, the embedded detector, and what a prompt asks of them."""
