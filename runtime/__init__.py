"""What any command needs of its process: errors, files, parallel work, signals, progress, logs. No TensorFlow."""
